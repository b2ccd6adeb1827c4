/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/event-history.h"

#include <errno.h>

#include "tests/helpers/test.h"

static int add(EventHistory *history, uint64_t number)
{
    const SupervisorMessage message = { .type = SUPERVISOR_EVENT,
                                        .event = VM_EVENT_SUSPEND,
                                        .time_usec = number * 10,
                                        .event_number = number };

    return event_history_add(history, &message);
}

static void entries_come_in_order_after_a_number(void **state)
{
    (void)state;
    EventHistory history = { 0 };

    assert_null(event_history_find_after(&history, 0));
    assert_int_equal(add(&history, 2), 0);
    assert_int_equal(add(&history, 3), 0);
    assert_int_equal(add(&history, 7), 0);
    assert_int_equal(event_history_find_after(&history, 0)->number, 2);
    assert_int_equal(event_history_find_after(&history, 2)->number, 3);
    assert_int_equal(event_history_find_after(&history, 3)->number, 7);
    assert_null(event_history_find_after(&history, 7));
    event_history_deinit(&history);
}

static void a_number_that_does_not_rise_is_refused(void **state)
{
    (void)state;
    EventHistory history = { 0 };

    assert_int_equal(add(&history, 2), 0);
    assert_int_equal(add(&history, 2), -EINVAL);
    assert_int_equal(add(&history, 1), -EINVAL);
    assert_int_equal(history.n_entries, 1);
    event_history_deinit(&history);
}

static void an_entry_is_the_message_that_was_added(void **state)
{
    (void)state;
    EventHistory history = { 0 };
    SupervisorMessage message;

    assert_int_equal(add(&history, 5), 0);
    const EventHistoryEntry *entry = event_history_find_after(&history, 4);
    assert_int_equal(supervisor_message_decode(entry->bytes, entry->size, &message), 0);
    assert_int_equal(message.event, VM_EVENT_SUSPEND);
    assert_int_equal(message.event_number, 5);
    assert_int_equal(message.time_usec, 50);
    event_history_deinit(&history);
}

static void the_oldest_goes_when_it_is_full(void **state)
{
    (void)state;
    EventHistory history = { 0 };

    for (uint64_t number = 2; number < 2 + EVENT_HISTORY_MAX; number++)
        assert_int_equal(add(&history, number), 0);
    assert_int_equal(event_history_find_after(&history, 0)->number, 2);
    for (uint64_t number = 2 + EVENT_HISTORY_MAX; number < 2 + 3 * EVENT_HISTORY_MAX; number++) {
        assert_int_equal(add(&history, number), 0);
        assert_int_equal(event_history_find_after(&history, 0)->number,
                         number - EVENT_HISTORY_MAX + 1);
        assert_int_equal(history.n_entries, EVENT_HISTORY_MAX);
    }
    event_history_deinit(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_in_order_after_a_number),
        cmocka_unit_test(a_number_that_does_not_rise_is_refused),
        cmocka_unit_test(an_entry_is_the_message_that_was_added),
        cmocka_unit_test(the_oldest_goes_when_it_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
