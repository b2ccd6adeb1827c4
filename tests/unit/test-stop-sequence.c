/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/stop-sequence.h"

#include <string.h>

#include "tests/helpers/test.h"

#define HOUR          STOP_TIMEOUT_USEC_MAX
#define DEADLINE_USEC UINT64_C(10000000)

typedef struct Fixture {
    sd_event *event;
    StopSequence sequence;
    size_t n_listening;
    char log[32]; /* a letter for each step told, and for each deed */
} Fixture;

static void note(Fixture *fixture, const char *letter)
{
    assert_true(strlen(fixture->log) + 1 < sizeof(fixture->log));
    strcat(fixture->log, letter);
}

static size_t on_ask_guest(void *userdata)
{
    note(userdata, "q");
    return ((Fixture *)userdata)->n_listening;
}

static void on_press(void *userdata)
{
    note(userdata, "p");
}

static void on_kill(void *userdata)
{
    note(userdata, "x");
}

static void on_stepped(void *userdata, StopStep step)
{
    static const char *const letters[STOP_STEP_MAX] = { "-", "G", "A", "K" };

    note(userdata, letters[step]);
}

static const StopSequenceHandlers handlers = { on_ask_guest, on_press, on_kill, on_stepped };

static int setup(void **state)
{
    static Fixture fixture;

    memset(&fixture, 0, sizeof(fixture));
    fixture.n_listening = 1;
    assert_true(sd_event_new(&fixture.event) >= 0);
    stop_sequence_init(&fixture.sequence, fixture.event, &handlers, &fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    stop_sequence_deinit(&fixture->sequence);
    stop_sequence_deinit(&fixture->sequence);
    sd_event_unref(fixture->event);
    return 0;
}

static void run(Fixture *fixture, StopStep first, uint64_t guest, uint64_t acpi, bool kill)
{
    const StopPlan plan = {
        .first = first, .guest_timeout_usec = guest, .acpi_timeout_usec = acpi, .kill = kill
    };

    stop_sequence_run(&fixture->sequence, &plan);
}

/* Lets the next step's time pass. */
static void wait_for(Fixture *fixture, const char *log)
{
    while (strcmp(fixture->log, log) != 0)
        assert_true(sd_event_run(fixture->event, DEADLINE_USEC) > 0);
}

static void steps_follow_each_other(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_GUEST, 1, 1, true);
    assert_string_equal(fixture->log, "qG");
    wait_for(fixture, "qGpA");
    wait_for(fixture, "qGpAKx");
    assert_int_equal(fixture->sequence.step, STOP_STEP_KILL);
    run(fixture, STOP_STEP_GUEST, 1, 1, true); /* nothing is left to do */
    assert_string_equal(fixture->log, "qGpAKx");
}

static void step_that_nobody_hears_takes_no_time(void **state)
{
    Fixture *fixture = *state;

    fixture->n_listening = 0;
    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, true);
    assert_string_equal(fixture->log, "qpA");
}

static void step_without_time_is_left_out(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_GUEST, 0, 0, true);
    assert_string_equal(fixture->log, "Kx");
}

static void without_a_kill_it_ends_and_can_begin_anew(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_ACPI, 0, 1, false);
    wait_for(fixture, "pA-");
    assert_int_equal(fixture->sequence.step, STOP_STEP_ACPI);
    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, false);
    assert_string_equal(fixture->log, "pA-qG");
}

static void second_plan_hastens(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, false);
    run(fixture, STOP_STEP_GUEST, 1, 1, true);
    wait_for(fixture, "qGpAKx");
}

static void second_plan_is_never_milder(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_GUEST, 1, 1, true);
    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, false);
    wait_for(fixture, "qGpAKx");
}

static void second_plan_goes_on_to_its_step_and_never_back(void **state)
{
    Fixture *fixture = *state;

    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, true);
    run(fixture, STOP_STEP_ACPI, HOUR, HOUR, true);
    assert_string_equal(fixture->log, "qGpA");
    run(fixture, STOP_STEP_GUEST, HOUR, HOUR, true);
    assert_string_equal(fixture->log, "qGpA");
    run(fixture, STOP_STEP_KILL, HOUR, HOUR, true);
    assert_string_equal(fixture->log, "qGpAKx");
}

static void kill_from_elsewhere_is_the_last_step_of_a_stop_that_began(void **state)
{
    Fixture *fixture = *state;

    stop_sequence_cut(&fixture->sequence);
    assert_string_equal(fixture->log, "");
    run(fixture, STOP_STEP_GUEST, 1, 1, true);
    stop_sequence_cut(&fixture->sequence);
    stop_sequence_cut(&fixture->sequence);
    while (sd_event_run(fixture->event, 0) > 0)
        continue;
    assert_string_equal(fixture->log, "qGK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_follow_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(step_that_nobody_hears_takes_no_time, setup, teardown),
        cmocka_unit_test_setup_teardown(step_without_time_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_kill_it_ends_and_can_begin_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(second_plan_hastens, setup, teardown),
        cmocka_unit_test_setup_teardown(second_plan_is_never_milder, setup, teardown),
        cmocka_unit_test_setup_teardown(second_plan_goes_on_to_its_step_and_never_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(kill_from_elsewhere_is_the_last_step_of_a_stop_that_began,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
