/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/broker-message.h"

#include <errno.h>

#include "tests/helpers/test.h"

static void every_type_comes_back_from_its_encoding(void **state)
{
    (void)state;

    for (unsigned type = BROKER_CONNECT; type <= BROKER_CAPTURE; type++) {
        const BrokerMessage message = { .type = (BrokerMessageType)type,
                                        .id = 0xfedcba98,
                                        .value = UINT32_MAX };
        uint8_t bytes[BROKER_MESSAGE_SIZE];
        BrokerMessage decoded = { 0 };

        broker_message_encode(&message, bytes);
        assert_int_equal(broker_message_decode(bytes, sizeof(bytes), &decoded), 0);
        assert_int_equal(decoded.type, type);
        assert_true(decoded.id == message.id && decoded.value == message.value);
    }
}

static void fields_stand_in_order_and_little_endian(void **state)
{
    (void)state;
    const BrokerMessage message = { .type = BROKER_DIAL, .id = 0x01020304, .value = 0x05060708 };
    static const uint8_t expected[] = { 4, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5 };
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    broker_message_encode(&message, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void wrong_lengths_and_unknown_types_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[BROKER_MESSAGE_SIZE + 1] = { BROKER_RESET };
    BrokerMessage decoded = { .id = 42 };

    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_int_equal(broker_message_decode(bytes, size, &decoded),
                         size == BROKER_MESSAGE_SIZE ? 0 : -EBADMSG);
    decoded.id = 42;
    bytes[0] = BROKER_CONNECT - 1;
    assert_int_equal(broker_message_decode(bytes, BROKER_MESSAGE_SIZE, &decoded), -EBADMSG);
    bytes[0] = BROKER_CAPTURE + 1;
    assert_int_equal(broker_message_decode(bytes, BROKER_MESSAGE_SIZE, &decoded), -EBADMSG);
    bytes[0] = BROKER_RESET;
    bytes[3] = 0x80;
    assert_int_equal(broker_message_decode(bytes, BROKER_MESSAGE_SIZE, &decoded), -EBADMSG);
    assert_int_equal(decoded.id, 42);
}

static void accept_dial_and_capture_carry_a_descriptor(void **state)
{
    (void)state;

    for (unsigned type = BROKER_CONNECT; type <= BROKER_CAPTURE; type++)
        assert_int_equal(broker_message_type_count_fds((BrokerMessageType)type),
                         type == BROKER_ACCEPT || type == BROKER_DIAL || type == BROKER_CAPTURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_from_its_encoding),
        cmocka_unit_test(fields_stand_in_order_and_little_endian),
        cmocka_unit_test(wrong_lengths_and_unknown_types_are_refused),
        cmocka_unit_test(accept_dial_and_capture_carry_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
