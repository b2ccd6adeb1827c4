/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/reset-queue.h"

#include "tests/helpers/test.h"

static VsockPacket packet_from(uint32_t guest_port)
{
    return (VsockPacket){ .destination_cid = 2, .source_port = guest_port, .destination_port = 9 };
}

static void answers_go_back_in_order(void **state)
{
    (void)state;
    ResetQueue queue = { .size = 0 };
    VsockPacket packet;

    for (uint32_t i = 0; i < RESET_QUEUE_CAPACITY; i++) {
        packet = packet_from(i);
        assert_false(reset_queue_is_full(&queue));
        reset_queue_add(&queue, &packet);
    }
    assert_true(reset_queue_is_full(&queue));
    for (uint32_t i = 0; i < RESET_QUEUE_CAPACITY; i++) {
        assert_true(reset_queue_take(&queue, &packet));
        assert_int_equal(packet.operation, VSOCK_OPERATION_RESET);
        assert_int_equal(packet.source_cid, 2);
        assert_int_equal(packet.source_port, 9);
        assert_int_equal(packet.destination_port, i);
    }
    assert_false(reset_queue_take(&queue, &packet));
}

static void forgetting_drops_all_answers_to_one_sender(void **state)
{
    (void)state;
    ResetQueue queue = { .start = RESET_QUEUE_CAPACITY - 1 };
    VsockPacket one = packet_from(1), two = packet_from(2), packet;

    reset_queue_add(&queue, &one);
    reset_queue_add(&queue, &two);
    reset_queue_add(&queue, &one);
    reset_queue_forget(&queue, &one);
    assert_true(reset_queue_take(&queue, &packet));
    assert_int_equal(packet.destination_port, 2);
    assert_false(reset_queue_take(&queue, &packet));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_go_back_in_order),
        cmocka_unit_test(forgetting_drops_all_answers_to_one_sender),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
