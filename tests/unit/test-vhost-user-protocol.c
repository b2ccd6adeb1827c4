/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/vhost-user-protocol.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/helpers/test.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/fd.h"

static int decode_header(uint32_t type, uint32_t flags, uint32_t size, VhostUserHeader *ret_header)
{
    uint8_t bytes[VHOST_USER_HEADER_SIZE];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le32(&writer, type);
    byte_writer_put_le32(&writer, flags);
    byte_writer_put_le32(&writer, size);
    return vhost_user_header_decode(bytes, ret_header, NULL);
}

static void header_is_checked_before_the_payload_arrives(void **state)
{
    (void)state;
    VhostUserHeader header;

    assert_int_equal(decode_header(VHOST_USER_SET_FEATURES, 1 | 8, 8, &header), 0);
    assert_int_equal(header.type, VHOST_USER_SET_FEATURES);
    assert_int_equal(header.payload_size, 8);
    assert_true(header.needs_reply);

    assert_true(decode_header(VHOST_USER_SET_FEATURES, 1, 7, &header) < 0);
    assert_true(decode_header(VHOST_USER_SET_FEATURES, 1, 9, &header) < 0);
    assert_true(decode_header(VHOST_USER_SET_FEATURES, 2, 8, &header) < 0);     /* version */
    assert_true(decode_header(VHOST_USER_SET_FEATURES, 1 | 4, 8, &header) < 0); /* a reply */
    assert_true(decode_header(VHOST_USER_SET_FEATURES, 1 | 16, 8, &header) < 0);
    assert_true(decode_header(0, 1, 0, &header) < 0);
    assert_true(decode_header(6, 1, 16, &header) < 0); /* SET_LOG_BASE: not offered */
    assert_true(decode_header(UINT32_MAX, 1, 0, &header) < 0);
    assert_int_equal(decode_header(VHOST_USER_SET_MEM_TABLE, 1, 8 + 8 * 32, &header), 0);
    assert_true(decode_header(VHOST_USER_SET_MEM_TABLE, 1, 8 + 9 * 32, &header) < 0);
    assert_int_equal(decode_header(VHOST_USER_GET_CONFIG, 1, 12 + 256, &header), 0);
    assert_true(decode_header(VHOST_USER_GET_CONFIG, 1, 12 + 257, &header) < 0);
}

static int decode(VhostUserRequestType type,
                  const ByteWriter *payload,
                  int *fds,
                  size_t n_fds,
                  VhostUserRequest *ret_request)
{
    VhostUserHeader header = { .type = type, .payload_size = (uint32_t)payload->size };

    return vhost_user_request_decode(&header, payload->data, fds, n_fds, ret_request, NULL);
}

static int make_fd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void memory_table_carries_a_descriptor_a_region(void **state)
{
    (void)state;
    uint8_t bytes[VHOST_USER_PAYLOAD_SIZE_MAX];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    VhostUserRequest request;

    byte_writer_put_le32(&writer, 2);
    byte_writer_put_le32(&writer, 0);
    for (uint64_t i = 0; i < 8; i++)
        byte_writer_put_le64(&writer, 100 + i);
    int fds[2] = { make_fd(), make_fd() };
    int first = fds[0];
    assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &writer, fds, 2, &request), 0);
    assert_int_equal(request.n_regions, 2);
    assert_int_equal(request.regions[1].guest_address, 104);
    assert_int_equal(request.regions[1].size, 105);
    assert_int_equal(request.regions[1].user_address, 106);
    assert_int_equal(request.regions[1].file_offset, 107);
    assert_int_equal(request.fds[0], first);
    vhost_user_request_deinit(&request);
    assert_int_equal(fcntl(first, F_GETFD), -1);

    fds[0] = make_fd();
    assert_true(decode(VHOST_USER_SET_MEM_TABLE, &writer, fds, 1, &request) < 0);
    bytes[0] = 3; /* more than there are bytes for */
    assert_true(decode(VHOST_USER_SET_MEM_TABLE, &writer, NULL, 0, &request) < 0);
}

static void surplus_descriptors_are_closed(void **state)
{
    (void)state;
    uint8_t bytes[8] = { 0 };
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    VhostUserRequest request;

    byte_writer_put_le64(&writer, 1);
    int fds[2] = { make_fd(), make_fd() };
    int copies[2] = { fds[0], fds[1] };
    assert_true(decode(VHOST_USER_SET_FEATURES, &writer, fds, 2, &request) < 0);
    assert_int_equal(fcntl(copies[0], F_GETFD), -1);
    assert_int_equal(fcntl(copies[1], F_GETFD), -1);
}

static void ring_descriptor_may_be_missing_but_for_the_kick(void **state)
{
    (void)state;
    uint8_t bytes[8];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    VhostUserRequest request;

    byte_writer_put_le64(&writer, 1 | 0x100);
    assert_int_equal(decode(VHOST_USER_SET_VRING_CALL, &writer, NULL, 0, &request), 0);
    assert_int_equal(request.ring, 1);
    assert_int_equal(request.n_fds, 0);
    assert_true(decode(VHOST_USER_SET_VRING_KICK, &writer, NULL, 0, &request) < 0);
    bytes[1] = 2; /* an unknown bit */
    assert_true(decode(VHOST_USER_SET_VRING_CALL, &writer, NULL, 0, &request) < 0);
}

static void ring_addresses_are_decoded_and_logging_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[40];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    VhostUserRequest request;

    byte_writer_put_le32(&writer, 1);
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_le64(&writer, 11);
    byte_writer_put_le64(&writer, 12);
    byte_writer_put_le64(&writer, 13);
    byte_writer_put_le64(&writer, 14);
    assert_int_equal(decode(VHOST_USER_SET_VRING_ADDR, &writer, NULL, 0, &request), 0);
    assert_int_equal(request.ring, 1);
    assert_int_equal(request.addresses.descriptors, 11);
    assert_int_equal(request.addresses.used, 12);
    assert_int_equal(request.addresses.available, 13);
    bytes[4] = 1;
    assert_true(decode(VHOST_USER_SET_VRING_ADDR, &writer, NULL, 0, &request) < 0);
}

static void configuration_size_must_match_the_payload(void **state)
{
    (void)state;
    uint8_t bytes[20] = { 0 };
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    VhostUserRequest request;

    byte_writer_put_le32(&writer, 4);
    byte_writer_put_le32(&writer, 8);
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_zeros(&writer, 8);
    assert_int_equal(decode(VHOST_USER_GET_CONFIG, &writer, NULL, 0, &request), 0);
    assert_int_equal(request.config_offset, 4);
    assert_int_equal(request.config_size, 8);
    bytes[4] = 7;
    assert_true(decode(VHOST_USER_GET_CONFIG, &writer, NULL, 0, &request) < 0);
}

static void replies_have_an_unpadded_header(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        11, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0
    };
    VhostUserReply reply;

    vhost_user_reply_with_ring_state(&reply, VHOST_USER_GET_VRING_BASE, 1, 9);
    assert_int_equal(reply.size, sizeof(expected));
    assert_memory_equal(reply.bytes, expected, sizeof(expected));

    VhostUserRequest request = { .type = VHOST_USER_GET_CONFIG, .config_size = 256 };
    uint8_t config[256] = { 42 };
    vhost_user_reply_with_config(&reply, &request, config);
    assert_int_equal(reply.size, VHOST_USER_MESSAGE_SIZE_MAX);
    assert_int_equal(reply.bytes[24], 42);
    vhost_user_reply_with_config(&reply, &request, NULL);
    assert_int_equal(reply.size, VHOST_USER_HEADER_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_checked_before_the_payload_arrives),
        cmocka_unit_test(memory_table_carries_a_descriptor_a_region),
        cmocka_unit_test(surplus_descriptors_are_closed),
        cmocka_unit_test(ring_descriptor_may_be_missing_but_for_the_kick),
        cmocka_unit_test(ring_addresses_are_decoded_and_logging_is_refused),
        cmocka_unit_test(configuration_size_must_match_the_payload),
        cmocka_unit_test(replies_have_an_unpadded_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
