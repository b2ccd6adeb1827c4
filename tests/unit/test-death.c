/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/death.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/helpers/test.h"

static DeathFacts alive(void)
{
    return (DeathFacts){ .running = true,
                         .guest = { .exit_code = -1 },
                         .vmm_reported = true,
                         .vmm_end = { .code = CLD_EXITED } };
}

static DeathRecord judge(const DeathFacts *facts, VmmEnd end, const char *vmm_tail)
{
    DeathRecord record = { 0 };

    (void)strncpy(record.vmm_tail, vmm_tail, sizeof(record.vmm_tail) - 1);
    death_judge(facts, end, &vmm_backend_qemu, &record);
    return record;
}

static void what_the_vmm_says_counts(void **state)
{
    static const struct {
        VmmEnd end;
        DeathReason reason;
        DeathInitiator initiator;
    } cases[] = {
        { VMM_END_GUEST_SHUTDOWN, DEATH_SHUTDOWN, INITIATOR_GUEST },
        { VMM_END_GUEST_RESET, DEATH_REBOOT, INITIATOR_GUEST },
        { VMM_END_GUEST_PANIC, DEATH_CRASH, INITIATOR_GUEST },
        { VMM_END_HOST_SIGNAL, DEATH_KILLED, INITIATOR_HOST },
        { VMM_END_UNSAID, DEATH_UNKNOWN, INITIATOR_HOST },
    };
    DeathFacts facts = alive();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        DeathRecord record = judge(&facts, cases[i].end, "terminating on signal 15 from pid 1");

        assert_int_equal(record.reason, cases[i].reason);
        assert_int_equal(record.initiator, cases[i].initiator);
        assert_int_equal(record.vmm_signal, cases[i].end == VMM_END_HOST_SIGNAL ? SIGTERM : 0);
    }
}

static void guest_errors_have_their_reasons_and_words(void **state)
{
    static const DeathReason reasons[GUEST_ERROR_CODE_MAX] = {
        [GUEST_ERROR_UNKNOWN] = DEATH_UNKNOWN_RUNTIME_ERROR,
        [GUEST_ERROR_FIRMWARE_PUBLIC_KEY_MISMATCH] = DEATH_FIRMWARE_PUBLIC_KEY_MISMATCH,
        [GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED] = DEATH_FIRMWARE_INSTANCE_IMAGE_CHANGED,
        [GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED] = DEATH_PAYLOAD_VERIFICATION_FAILED,
        [GUEST_ERROR_PAYLOAD_CHANGED] = DEATH_PAYLOAD_HAS_CHANGED,
        [GUEST_ERROR_PAYLOAD_INVALID_CONFIG] = DEATH_INVALID_PAYLOAD_CONFIG,
    };
    DeathFacts facts = alive();

    (void)state;
    facts.guest.has_error = true;
    facts.guest.signal = SIGSEGV;
    (void)strncpy(facts.guest.message, "an escape: \\x1b", sizeof(facts.guest.message) - 1);
    for (unsigned code = 0; code < GUEST_ERROR_CODE_MAX; code++) {
        facts.guest.error_code = (GuestErrorCode)code;
        DeathRecord record = judge(&facts, VMM_END_GUEST_SHUTDOWN, "");

        assert_int_equal(record.reason, reasons[code]);
        assert_int_equal(record.payload_signal, SIGSEGV);
        assert_string_equal(record.message, "an escape: \\x1b"); /* not escaped twice */
    }
}

static void our_own_cause_counts_only_if_the_vmm_was_silent(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.cause = (EndCause){ .set = true, .reason = DEATH_HANGUP, .initiator = INITIATOR_LIMIT };
    facts.vmm_end = (StubReport){ .code = CLD_KILLED, .status = SIGKILL };
    DeathRecord record = judge(&facts, VMM_END_UNSAID, "");
    assert_int_equal(record.reason, DEATH_HANGUP);
    assert_int_equal(record.initiator, INITIATOR_LIMIT);
    assert_int_equal(record.vmm_signal, SIGKILL);
    assert_int_equal(judge(&facts, VMM_END_GUEST_SHUTDOWN, "").reason, DEATH_SHUTDOWN);
}

static void denied_call_counts_whatever_the_vmm_says(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.cause = (EndCause){ .set = true,
                              .reason = DEATH_SANDBOX_VIOLATION,
                              .initiator = INITIATOR_HOST,
                              .denial = { .process = "vsock-device", .call = "openat" } };
    for (VmmEnd end = VMM_END_UNSAID; end <= VMM_END_HOST_SIGNAL; end++) {
        DeathRecord record = judge(&facts, end, "");

        assert_int_equal(record.reason, DEATH_SANDBOX_VIOLATION);
        assert_int_equal(record.initiator, INITIATOR_HOST);
        assert_string_equal(record.denied_process, "vsock-device");
        assert_string_equal(record.denied_call, "openat");
        assert_string_equal(record.denied_layer, "seccomp");
        assert_string_equal(record.message, "vsock-device made a system call that its seccomp "
                                            "policy denies: openat");
    }
}

static void call_that_nobody_heard_is_known_by_its_signal(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.vmm_end = (StubReport){ .code = CLD_KILLED, .status = SIGSYS };
    DeathRecord record = judge(&facts, VMM_END_GUEST_SHUTDOWN, "");
    assert_int_equal(record.reason, DEATH_SANDBOX_VIOLATION);
    assert_int_equal(record.vmm_signal, SIGSYS);
    assert_string_equal(record.denied_process, "the VMM");
    assert_string_equal(record.denied_call, "");
}

static void lack_of_memory_is_a_reason_of_its_own(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.oom = true;
    facts.vmm_reported = false; /* the stub is killed with it */
    DeathRecord record = judge(&facts, VMM_END_UNSAID, "");
    assert_int_equal(record.reason, DEATH_OOM);
    assert_int_equal(record.initiator, INITIATOR_LIMIT);
    assert_true(record.oom);
    assert_int_equal(judge(&facts, VMM_END_GUEST_SHUTDOWN, "").reason, DEATH_SHUTDOWN);
}

static void silent_ends_are_told_apart(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.running = false;
    facts.vmm_end.status = 1;
    DeathRecord record = judge(&facts, VMM_END_UNSAID, "");
    assert_int_equal(record.reason, DEATH_START_FAILED);
    assert_int_equal(record.vmm_exit_code, 1);

    facts.vmm_end = (StubReport){ .code = CLD_DUMPED, .status = SIGABRT };
    record = judge(&facts, VMM_END_UNSAID, "");
    assert_int_equal(record.reason, DEATH_KILLED);
    assert_int_equal(record.vmm_signal, SIGABRT);
    assert_int_equal(record.vmm_exit_code, -1);

    facts.vmm_reported = false;
    assert_int_equal(judge(&facts, VMM_END_UNSAID, "").vmm_signal, SIGKILL);
}

static void stop_makes_its_initiator_the_deaths(void **state)
{
    DeathFacts facts = alive();

    (void)state;
    facts.stop_initiator = INITIATOR_CLIENT;
    assert_int_equal(judge(&facts, VMM_END_GUEST_SHUTDOWN, "").initiator, INITIATOR_CLIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_vmm_says_counts),
        cmocka_unit_test(guest_errors_have_their_reasons_and_words),
        cmocka_unit_test(our_own_cause_counts_only_if_the_vmm_was_silent),
        cmocka_unit_test(denied_call_counts_whatever_the_vmm_says),
        cmocka_unit_test(call_that_nobody_heard_is_known_by_its_signal),
        cmocka_unit_test(lack_of_memory_is_a_reason_of_its_own),
        cmocka_unit_test(silent_ends_are_told_apart),
        cmocka_unit_test(stop_makes_its_initiator_the_deaths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
