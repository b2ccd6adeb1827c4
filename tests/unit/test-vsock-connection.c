/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/vsock-connection.h"

#include "tests/helpers/test.h"

static VsockPacket packet_of(VsockOperation operation)
{
    return (VsockPacket){ .operation = (uint16_t)operation, .buffer_size = 1000 };
}

static VsockEvent receive(VsockConnection *connection, VsockOperation operation)
{
    VsockPacket packet = packet_of(operation);

    return vsock_connection_receive(connection, &packet);
}

static VsockOperation take(VsockConnection *connection)
{
    VsockPacket packet;

    return vsock_connection_take_control(connection, &packet);
}

static VsockConnection make_established(void)
{
    VsockConnection connection;
    VsockPacket request = packet_of(VSOCK_OPERATION_REQUEST);

    vsock_connection_init_from_guest(&connection, &request);
    assert_false(vsock_connection_has_control(&connection));
    vsock_connection_accept(&connection);
    assert_int_equal(take(&connection), VSOCK_OPERATION_RESPONSE);
    return connection;
}

static VsockEvent receive_data(VsockConnection *connection, uint32_t size)
{
    VsockPacket packet = packet_of(VSOCK_OPERATION_DATA);

    packet.size = size;
    return vsock_connection_receive(connection, &packet);
}

static VsockEvent receive_shutdown(VsockConnection *connection, uint32_t flags)
{
    VsockPacket packet = packet_of(VSOCK_OPERATION_SHUTDOWN);

    packet.flags = flags;
    return vsock_connection_receive(connection, &packet);
}

static void guest_answers_decide_a_dial(void **state)
{
    (void)state;
    VsockConnection connection;

    vsock_connection_init_from_host(&connection, 1, 2);
    assert_int_equal(take(&connection), VSOCK_OPERATION_REQUEST);
    assert_int_equal(receive(&connection, VSOCK_OPERATION_RESPONSE), VSOCK_EVENT_OPENED);
    assert_int_equal(connection.state, VSOCK_ESTABLISHED);

    vsock_connection_init_from_host(&connection, 1, 2);
    assert_int_equal(take(&connection), VSOCK_OPERATION_REQUEST);
    assert_int_equal(receive(&connection, VSOCK_OPERATION_RESET), VSOCK_EVENT_REFUSED);
    assert_false(vsock_connection_has_control(&connection)); /* no RESET for a RESET */

    vsock_connection_init_from_host(&connection, 1, 2);
    assert_int_equal(take(&connection), VSOCK_OPERATION_REQUEST);
    assert_int_equal(receive(&connection, VSOCK_OPERATION_DATA), VSOCK_EVENT_REFUSED);
    assert_int_equal(take(&connection), VSOCK_OPERATION_RESET);

    /* An answer that comes before the question. */
    vsock_connection_init_from_host(&connection, 1, 2);
    assert_int_equal(receive(&connection, VSOCK_OPERATION_RESPONSE), VSOCK_EVENT_REFUSED);
}

static void given_up_dial_resets_only_a_guest_that_was_asked(void **state)
{
    (void)state;
    VsockConnection connection;

    vsock_connection_init_from_host(&connection, 1, 2);
    vsock_connection_reset(&connection);
    assert_int_equal(connection.state, VSOCK_DETACHED);

    vsock_connection_init_from_host(&connection, 1, 2);
    (void)take(&connection);
    vsock_connection_reset(&connection);
    assert_int_equal(take(&connection), VSOCK_OPERATION_RESET);
    assert_int_equal(connection.state, VSOCK_DETACHED);
}

static void reset_is_never_answered_by_a_reset(void **state)
{
    (void)state;
    VsockConnection connection = make_established();

    assert_int_equal(receive(&connection, VSOCK_OPERATION_RESET), VSOCK_EVENT_GONE);
    assert_false(vsock_connection_has_control(&connection));

    connection = make_established();
    vsock_connection_reset(&connection);
    assert_int_equal(receive(&connection, VSOCK_OPERATION_RESET), VSOCK_EVENT_GONE);
    assert_false(vsock_connection_has_control(&connection));
}

static void packets_out_of_place_are_violations(void **state)
{
    (void)state;
    static const VsockOperation bad[] = { VSOCK_OPERATION_INVALID, VSOCK_OPERATION_REQUEST,
                                          VSOCK_OPERATION_RESPONSE, (VsockOperation)8 };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        VsockConnection connection = make_established();

        assert_int_equal(receive(&connection, bad[i]), VSOCK_EVENT_VIOLATION);
        assert_int_equal(receive_data(&connection, 5), VSOCK_EVENT_NONE); /* on its way already */
        assert_int_equal(take(&connection), VSOCK_OPERATION_RESET);
    }

    VsockConnection connection;
    VsockPacket request = packet_of(VSOCK_OPERATION_REQUEST);
    vsock_connection_init_from_guest(&connection, &request);
    assert_int_equal(receive_data(&connection, 1), VSOCK_EVENT_VIOLATION);
}

static void both_half_closes_of_the_guest_end_in_a_reset_after_the_last_byte(void **state)
{
    (void)state;
    VsockConnection connection = make_established();

    assert_int_equal(receive_data(&connection, 10), VSOCK_EVENT_DATA);
    assert_int_equal(receive_shutdown(&connection, VSOCK_SHUTDOWN_SEND), VSOCK_EVENT_SHUTDOWN);
    assert_true(vsock_connection_can_send(&connection));
    assert_int_equal(receive_shutdown(&connection, VSOCK_SHUTDOWN_RECEIVE), VSOCK_EVENT_SHUTDOWN);
    assert_false(vsock_connection_can_send(&connection));
    assert_int_equal(connection.state, VSOCK_ESTABLISHED);
    vsock_connection_forward(&connection, 9);
    assert_int_equal(connection.state, VSOCK_ESTABLISHED);
    vsock_connection_forward(&connection, 1);
    assert_int_equal(take(&connection), VSOCK_OPERATION_RESET);
}

static void data_after_a_half_close_is_a_violation(void **state)
{
    (void)state;
    VsockConnection connection = make_established();

    (void)receive_shutdown(&connection, VSOCK_SHUTDOWN_SEND);
    assert_int_equal(receive_data(&connection, 1), VSOCK_EVENT_VIOLATION);
}

static void each_end_of_the_host_is_told_once(void **state)
{
    (void)state;
    VsockConnection connection = make_established();
    VsockPacket packet;

    vsock_connection_end_host(&connection, VSOCK_SHUTDOWN_SEND);
    assert_int_equal(vsock_connection_take_control(&connection, &packet), VSOCK_OPERATION_SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUTDOWN_SEND);
    assert_false(vsock_connection_has_control(&connection));
    assert_int_equal(receive_data(&connection, 3), VSOCK_EVENT_DATA);
    vsock_connection_end_host(&connection, VSOCK_SHUTDOWN_RECEIVE);
    assert_int_equal(vsock_connection_take_control(&connection, &packet), VSOCK_OPERATION_SHUTDOWN);
    assert_int_equal(packet.flags, VSOCK_SHUTDOWN_BOTH);
    assert_false(vsock_connection_has_control(&connection));
}

static void guest_may_use_its_credit_to_the_last_byte(void **state)
{
    (void)state;
    VsockConnection connection = make_established();

    assert_int_equal(receive_data(&connection, VSOCK_BUFFER_SIZE), VSOCK_EVENT_DATA);
    assert_int_equal(receive_data(&connection, 1), VSOCK_EVENT_VIOLATION);

    connection = make_established();
    assert_int_equal(receive_data(&connection, VSOCK_BUFFER_SIZE), VSOCK_EVENT_DATA);
    vsock_connection_forward(&connection, 1);
    assert_int_equal(receive_data(&connection, 1), VSOCK_EVENT_DATA);
    assert_int_equal(vsock_connection_count_buffered(&connection), VSOCK_BUFFER_SIZE);
}

static void credit_update_is_owed_after_a_quarter_or_when_asked_for(void **state)
{
    (void)state;
    VsockConnection connection = make_established();
    VsockPacket packet;

    (void)receive_data(&connection, VSOCK_BUFFER_SIZE);
    vsock_connection_forward(&connection, VSOCK_BUFFER_SIZE / 4 - 1);
    assert_false(vsock_connection_has_control(&connection));
    vsock_connection_forward(&connection, 1);
    assert_int_equal(vsock_connection_take_control(&connection, &packet),
                     VSOCK_OPERATION_CREDIT_UPDATE);
    assert_int_equal(packet.forwarded_count, VSOCK_BUFFER_SIZE / 4);
    assert_int_equal(packet.buffer_size, VSOCK_BUFFER_SIZE);
    assert_false(vsock_connection_has_control(&connection));
    assert_int_equal(receive(&connection, VSOCK_OPERATION_CREDIT_REQUEST), VSOCK_EVENT_NONE);
    assert_int_equal(take(&connection), VSOCK_OPERATION_CREDIT_UPDATE);
}

static void counters_wrap_at_2_to_the_32(void **state)
{
    (void)state;
    VsockConnection connection = make_established();
    VsockPacket packet;

    connection.received = connection.forwarded = connection.announced = UINT32_MAX - 10;
    assert_int_equal(receive_data(&connection, VSOCK_BUFFER_SIZE), VSOCK_EVENT_DATA);
    assert_int_equal(vsock_connection_count_buffered(&connection), VSOCK_BUFFER_SIZE);
    vsock_connection_forward(&connection, VSOCK_BUFFER_SIZE);
    assert_int_equal(vsock_connection_count_buffered(&connection), 0);
    assert_int_equal(take(&connection), VSOCK_OPERATION_CREDIT_UPDATE);

    connection.sent = connection.guest_forwarded = UINT32_MAX - 10;
    connection.guest_buffer_size = 100;
    assert_int_equal(vsock_connection_get_credit(&connection), 100);
    vsock_connection_take_data(&connection, 60, &packet);
    assert_int_equal(packet.size, 60);
    assert_int_equal(vsock_connection_get_credit(&connection), 40);
    connection.guest_forwarded += 60;
    assert_int_equal(vsock_connection_get_credit(&connection), 100);
}

static void guest_that_shrinks_its_buffer_or_lies_has_no_credit(void **state)
{
    (void)state;
    VsockConnection connection = make_established();

    connection.sent = 100;
    connection.guest_buffer_size = 99;
    assert_int_equal(vsock_connection_get_credit(&connection), 0);
    connection.guest_forwarded = 101; /* more than was ever sent */
    assert_int_equal(vsock_connection_get_credit(&connection), 0);
}

static void credit_is_asked_for_once_until_there_is_some(void **state)
{
    (void)state;
    VsockConnection connection = make_established();
    VsockPacket update = packet_of(VSOCK_OPERATION_CREDIT_UPDATE);

    update.buffer_size = 0;
    assert_int_equal(vsock_connection_receive(&connection, &update), VSOCK_EVENT_NONE);
    vsock_connection_want_credit(&connection);
    assert_int_equal(take(&connection), VSOCK_OPERATION_CREDIT_REQUEST);
    vsock_connection_want_credit(&connection);
    assert_false(vsock_connection_has_control(&connection));
    (void)vsock_connection_receive(&connection, &update);
    vsock_connection_want_credit(&connection);
    assert_false(vsock_connection_has_control(&connection));
    update.buffer_size = 1;
    (void)vsock_connection_receive(&connection, &update);
    vsock_connection_want_credit(&connection);
    assert_true(vsock_connection_has_control(&connection));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guest_answers_decide_a_dial),
        cmocka_unit_test(given_up_dial_resets_only_a_guest_that_was_asked),
        cmocka_unit_test(reset_is_never_answered_by_a_reset),
        cmocka_unit_test(packets_out_of_place_are_violations),
        cmocka_unit_test(both_half_closes_of_the_guest_end_in_a_reset_after_the_last_byte),
        cmocka_unit_test(data_after_a_half_close_is_a_violation),
        cmocka_unit_test(each_end_of_the_host_is_told_once),
        cmocka_unit_test(guest_may_use_its_credit_to_the_last_byte),
        cmocka_unit_test(credit_update_is_owed_after_a_quarter_or_when_asked_for),
        cmocka_unit_test(counters_wrap_at_2_to_the_32),
        cmocka_unit_test(guest_that_shrinks_its_buffer_or_lies_has_no_credit),
        cmocka_unit_test(credit_is_asked_for_once_until_there_is_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
