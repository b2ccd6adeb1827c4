/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/vm-state.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

/* What the documents say, written out once more: by state, a letter for where each event from START
 * to DIED leads to. Capitals are states, B is the one before the suspension, a dash: not allowed.
 */
/* clang-format off */
static const char *const expected[VM_STATE_MAX] = {
    /*                   SPRFESRSD: start, payload-started, ready, finished, error, suspend, ... */
    [VM_NOT_STARTED] = "s-------D",
    [VM_STARTING] =    "-SRFFU-TD",
    [VM_STARTED] =     "--RFFU-TD",
    [VM_READY] =       "---FFU-TD",
    [VM_FINISHED] =    "-----U-TD",
    [VM_SUSPENDED] =   "------BTD",
    [VM_STOPPING] =    "-TTTT---D",
    [VM_DEAD] =        "---------",
};
/* clang-format on */

static const struct {
    char letter;
    const char *name;
} letters[] = {
    { 's', "starting" },  { 'S', "started" },  { 'R', "ready" }, { 'F', "finished" },
    { 'U', "suspended" }, { 'T', "stopping" }, { 'D', "dead" },  { 'B', "ready" },
};

static const char *name_of(char letter)
{
    for (size_t i = 0; i < ELEMENTS_OF(letters); i++) {
        if (letters[i].letter == letter)
            return letters[i].name;
    }
    return NULL;
}

static void every_event_in_every_state_leads_where_it_should(void **state)
{
    (void)state;

    for (unsigned from = VM_NOT_STARTED; from < VM_STATE_MAX; from++) {
        for (unsigned event = VM_EVENT_START; event < VM_EVENT_MAX; event++) {
            const char *name = name_of(expected[from][event - VM_EVENT_START]);
            VmState next = VM_STATE_MAX;

            int r = vm_state_next((VmState)from, (VmEvent)event, VM_READY, &next);
            assert_int_equal(r, name ? 0 : -EALREADY);
            if (name)
                assert_string_equal(vm_state_to_string(next), name);
            else
                assert_int_equal(next, VM_STATE_MAX);
        }
    }
}

static void resume_returns_to_where_the_suspension_was(void **state)
{
    (void)state;
    static const VmState before[] = { VM_STARTING, VM_STARTED, VM_READY, VM_FINISHED };
    VmState next = VM_STATE_MAX;

    for (size_t i = 0; i < ELEMENTS_OF(before); i++) {
        assert_int_equal(vm_state_next(VM_SUSPENDED, VM_EVENT_RESUME, before[i], &next), 0);
        assert_int_equal(next, before[i]);
    }
    /* Nothing is known of a suspension. */
    assert_int_equal(vm_state_next(VM_SUSPENDED, VM_EVENT_RESUME, (VmState)0, &next), -EALREADY);
}

static void values_outside_the_table_are_refused(void **state)
{
    (void)state;
    VmState next = VM_STATE_MAX;

    for (unsigned other = VM_NOT_STARTED; other < VM_EVENT_MAX; other++) {
        assert_int_equal(vm_state_next((VmState)0, (VmEvent)other, VM_READY, &next), -EALREADY);
        assert_int_equal(vm_state_next(VM_READY, (VmEvent)(other + VM_EVENT_DIED), VM_READY, &next),
                         -EALREADY);
    }
    assert_int_equal(vm_state_next(VM_STATE_MAX, VM_EVENT_DIED, VM_READY, &next), -EALREADY);
    assert_int_equal(vm_state_next((VmState)-1, VM_EVENT_DIED, VM_READY, &next), -EALREADY);
    assert_int_equal(vm_state_next(VM_READY, (VmEvent)0, VM_READY, &next), -EALREADY);
    assert_int_equal(vm_state_next(VM_READY, (VmEvent)-1, VM_READY, &next), -EALREADY);
    assert_int_equal(next, VM_STATE_MAX);
}

static void state_names_round_trip(void **state)
{
    (void)state;

    for (unsigned value = VM_NOT_STARTED; value < VM_STATE_MAX; value++) {
        VmState parsed = VM_STATE_MAX;

        assert_int_equal(vm_state_from_string(vm_state_to_string((VmState)value), &parsed), 0);
        assert_int_equal(parsed, value);
    }

    VmState untouched = VM_STATE_MAX;
    assert_int_equal(vm_state_from_string("", &untouched), -EINVAL);
    assert_int_equal(vm_state_from_string("Ready", &untouched), -EINVAL);
    assert_int_equal(vm_state_from_string("ready ", &untouched), -EINVAL);
    assert_int_equal(untouched, VM_STATE_MAX);
    assert_null(vm_state_to_string((VmState)0));
    assert_null(vm_state_to_string(VM_STATE_MAX));
    assert_null(vm_state_to_string((VmState)-1));
}

/* The numbers of AVF's enums, which have gaps, and names that follow from its own. */
static void names_are_there_for_the_values_in_use_only(void **state)
{
    (void)state;

    for (unsigned event = VM_EVENT_START; event < VM_EVENT_MAX; event++)
        assert_non_null(vm_event_to_string((VmEvent)event));
    assert_null(vm_event_to_string((VmEvent)0));
    assert_null(vm_event_to_string(VM_EVENT_MAX));

    for (unsigned reason = 0; reason < DEATH_REASON_MAX; reason++)
        assert_int_equal(death_reason_to_string((DeathReason)reason) != NULL,
                         reason != 9 && reason != 10);
    assert_null(death_reason_to_string(DEATH_REASON_MAX));
    assert_string_equal(death_reason_to_string(DEATH_PAYLOAD_HAS_CHANGED), "payload-has-changed");

    for (unsigned initiator = INITIATOR_GUEST; initiator < INITIATOR_MAX; initiator++)
        assert_non_null(death_initiator_to_string((DeathInitiator)initiator));
    assert_null(death_initiator_to_string((DeathInitiator)0));
    assert_null(death_initiator_to_string(INITIATOR_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state_leads_where_it_should),
        cmocka_unit_test(resume_returns_to_where_the_suspension_was),
        cmocka_unit_test(values_outside_the_table_are_refused),
        cmocka_unit_test(state_names_round_trip),
        cmocka_unit_test(names_are_there_for_the_values_in_use_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
