/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-message.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static const uint8_t pattern[PAYLOAD_REQUEST_SIZE_MAX] = { 'i', 'd', 0, 0xff };

static void requests_come_back_from_their_encoding(void **state)
{
    PayloadRequest requests[] = {
        { .type = PAYLOAD_GET_SECRET, .secret_size = 32, .identifier = pattern },
        { .type = PAYLOAD_GET_SECRET, .identifier = pattern, .identifier_size = 4 },
        { .type = PAYLOAD_GET_SECRET, .identifier = pattern, .identifier_size = 4096 },
        { .type = PAYLOAD_IS_NEW_INSTANCE },
        { .type = PAYLOAD_GET_STORAGE_PATH },
        { .type = PAYLOAD_READ_ROLLBACK_SECRET },
        { .type = PAYLOAD_WRITE_ROLLBACK_SECRET, .rollback_secret = { 1, 2, [31] = 3 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        uint8_t bytes[PAYLOAD_REQUEST_SIZE_MAX];
        PayloadRequest decoded;

        int size = payload_request_encode(&requests[i], bytes);
        assert_true(size >= 4);
        assert_int_equal(payload_request_decode(bytes, (size_t)size, &decoded), 0);
        assert_int_equal(decoded.type, requests[i].type);
        assert_int_equal(decoded.secret_size, requests[i].secret_size);
        assert_int_equal(decoded.identifier_size, requests[i].identifier_size);
        if (decoded.identifier_size > 0)
            assert_memory_equal(decoded.identifier, pattern, decoded.identifier_size);
        assert_memory_equal(decoded.rollback_secret, requests[i].rollback_secret, 32);
    }
}

static void layout_of_a_request_is_as_described(void **state)
{
    static const uint8_t expected[] = { 1, 0, 0, 0, 32, 0, 0, 0, 'i', 'd' };
    const PayloadRequest request = {
        .type = PAYLOAD_GET_SECRET, .secret_size = 32, .identifier = pattern, .identifier_size = 2
    };
    uint8_t bytes[PAYLOAD_REQUEST_SIZE_MAX];

    (void)state;
    assert_int_equal(payload_request_encode(&request, bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void requests_beyond_a_limit_are_refused(void **state)
{
    PayloadRequest request = { .type = PAYLOAD_GET_SECRET,
                               .identifier = pattern,
                               .identifier_size = PAYLOAD_IDENTIFIER_SIZE_MAX + 1 };
    uint8_t bytes[PAYLOAD_REQUEST_SIZE_MAX + 1] = { PAYLOAD_GET_SECRET, 0, 0, 0, 32 };

    (void)state;
    assert_int_equal(payload_request_encode(&request, bytes), -EINVAL);
    assert_int_equal(payload_request_decode(bytes, PAYLOAD_REQUEST_SIZE_MAX, &request), 0);
    assert_int_equal(payload_request_decode(bytes, sizeof(bytes), &request), -EBADMSG);

    request = (PayloadRequest){ .type = PAYLOAD_GET_SECRET, .secret_size = 33 };
    assert_int_equal(payload_request_encode(&request, bytes), -EINVAL);
    bytes[0] = PAYLOAD_GET_SECRET;
    bytes[4] = 33;
    assert_int_equal(payload_request_decode(bytes, 8, &request), -EBADMSG);
}

static void malformed_requests_are_refused(void **state)
{
    static const struct {
        uint8_t bytes[40];
        size_t size;
    } requests[] = {
        { { 0 }, 0 },
        { { PAYLOAD_IS_NEW_INSTANCE }, 3 },
        { { PAYLOAD_IS_NEW_INSTANCE }, 5 }, /* something behind it */
        { { PAYLOAD_GET_SECRET }, 7 },      /* half a size */
        { { PAYLOAD_WRITE_ROLLBACK_SECRET }, 35 },
        { { PAYLOAD_WRITE_ROLLBACK_SECRET }, 37 },
        { { 0 }, 4 },
        { { PAYLOAD_WRITE_ROLLBACK_SECRET + 1 }, 4 },
        { { PAYLOAD_IS_NEW_INSTANCE, 0, 0, 1 }, 4 },
    };
    PayloadRequest request;

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        assert_int_equal(payload_request_decode(requests[i].bytes, requests[i].size, &request),
                         -EBADMSG);
    request = (PayloadRequest){ .type = (PayloadRequestType)99 };
    assert_int_equal(payload_request_encode(&request, (uint8_t[PAYLOAD_REQUEST_SIZE_MAX]){ 0 }),
                     -EINVAL);
}

static void replies_come_back_from_their_encoding(void **state)
{
    PayloadReply replies[] = {
        { .type = PAYLOAD_GET_SECRET, .data_size = 32, .data = { 1, [31] = 2 } },
        { .type = PAYLOAD_GET_SECRET },
        { .type = PAYLOAD_GET_SECRET, .status = PAYLOAD_STATUS_FAILED },
        { .type = PAYLOAD_IS_NEW_INSTANCE, .data_size = 1, .data = { 1 } },
        { .type = PAYLOAD_GET_STORAGE_PATH, .data_size = 2, .data = "/x" },
        { .type = PAYLOAD_GET_STORAGE_PATH },
        { .type = PAYLOAD_READ_ROLLBACK_SECRET, .data_size = 32 },
        { .type = PAYLOAD_READ_ROLLBACK_SECRET, .status = PAYLOAD_STATUS_NOT_FOUND },
        { .type = PAYLOAD_WRITE_ROLLBACK_SECRET },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        uint8_t bytes[PAYLOAD_REPLY_SIZE_MAX];
        PayloadReply decoded;

        int size = payload_reply_encode(&replies[i], bytes);
        assert_int_equal(size, 8 + replies[i].data_size);
        assert_int_equal(payload_reply_decode(bytes, (size_t)size, &decoded), 0);
        assert_int_equal(decoded.type, replies[i].type);
        assert_int_equal(decoded.status, replies[i].status);
        assert_int_equal(decoded.data_size, replies[i].data_size);
        assert_memory_equal(decoded.data, replies[i].data, decoded.data_size);
    }
}

static void longest_path_is_taken_and_no_longer_one(void **state)
{
    PayloadReply reply = { .type = PAYLOAD_GET_STORAGE_PATH,
                           .data_size = PAYLOAD_STORAGE_PATH_MAX };
    uint8_t bytes[PAYLOAD_REPLY_SIZE_MAX + 1];

    (void)state;
    memset(reply.data, 'x', sizeof(reply.data));
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(payload_reply_encode(&reply, bytes), PAYLOAD_REPLY_SIZE_MAX);
    assert_int_equal(payload_reply_decode(bytes, PAYLOAD_REPLY_SIZE_MAX, &reply), 0);
    assert_int_equal(payload_reply_decode(bytes, sizeof(bytes), &reply), -EBADMSG);
}

static void malformed_replies_are_refused(void **state)
{
    static const struct {
        uint8_t bytes[48];
        size_t size;
    } replies[] = {
        { { PAYLOAD_IS_NEW_INSTANCE }, 7 },
        { { PAYLOAD_IS_NEW_INSTANCE }, 8 }, /* no answer */
        { { PAYLOAD_IS_NEW_INSTANCE, [8] = 2 }, 9 },
        { { PAYLOAD_IS_NEW_INSTANCE, [4] = PAYLOAD_STATUS_FAILED }, 9 },
        { { PAYLOAD_IS_NEW_INSTANCE, [4] = PAYLOAD_STATUS_MAX }, 8 },
        { { PAYLOAD_IS_NEW_INSTANCE, [7] = 0xff }, 8 },
        { { PAYLOAD_GET_SECRET }, 8 + 33 },
        { { PAYLOAD_GET_SECRET, [4] = PAYLOAD_STATUS_FAILED }, 9 },
        { { PAYLOAD_GET_STORAGE_PATH, [8] = '/' }, 10 }, /* a NUL in it */
        { { PAYLOAD_READ_ROLLBACK_SECRET }, 8 + 31 },
        { { PAYLOAD_READ_ROLLBACK_SECRET }, 8 + 33 },
        { { PAYLOAD_WRITE_ROLLBACK_SECRET }, 9 },
        { { 0 }, 8 },
        { { PAYLOAD_WRITE_ROLLBACK_SECRET + 1 }, 8 },
    };
    PayloadReply reply;

    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
        assert_int_equal(payload_reply_decode(replies[i].bytes, replies[i].size, &reply), -EBADMSG);
    reply = (PayloadReply){ .type = PAYLOAD_IS_NEW_INSTANCE, .data_size = 2 };
    assert_int_equal(payload_reply_encode(&reply, (uint8_t[PAYLOAD_REPLY_SIZE_MAX]){ 0 }), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_back_from_their_encoding),
        cmocka_unit_test(layout_of_a_request_is_as_described),
        cmocka_unit_test(requests_beyond_a_limit_are_refused),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(replies_come_back_from_their_encoding),
        cmocka_unit_test(longest_path_is_taken_and_no_longer_one),
        cmocka_unit_test(malformed_replies_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
