/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/death.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static DeathReason guest_error_to_death_reason(GuestErrorCode code)
{
    switch (code) {
    case GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED:
        return DEATH_PAYLOAD_VERIFICATION_FAILED;
    case GUEST_ERROR_PAYLOAD_CHANGED:
        return DEATH_PAYLOAD_HAS_CHANGED;
    case GUEST_ERROR_PAYLOAD_INVALID_CONFIG:
        return DEATH_INVALID_PAYLOAD_CONFIG;
    case GUEST_ERROR_FIRMWARE_PUBLIC_KEY_MISMATCH:
        return DEATH_FIRMWARE_PUBLIC_KEY_MISMATCH;
    case GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED:
        return DEATH_FIRMWARE_INSTANCE_IMAGE_CHANGED;
    case GUEST_ERROR_UNKNOWN:
    case GUEST_ERROR_CODE_MAX:
        break;
    }
    return DEATH_UNKNOWN_RUNTIME_ERROR;
}

/* @message is escaped already, or ours. */
static void set_message(DeathRecord *record, const char *message)
{
    size_t length = strnlen(message, SUPERVISOR_TEXT_MAX);

    memcpy(record->message, message, length);
    record->message[length] = '\0';
}

static void set_exit(const DeathFacts *facts, DeathRecord *record)
{
    record->vmm_exit_code = -1;
    record->vmm_signal = 0;
    if (!facts->vmm_reported)
        record->vmm_signal = SIGKILL; /* with the stub, by the kernel */
    else if (facts->vmm_end.code == CLD_EXITED)
        record->vmm_exit_code = facts->vmm_end.status & 0xff;
    else
        record->vmm_signal = facts->vmm_end.status & 0x7f;
}

static void set_denial(const Denial *denial, DeathRecord *record)
{
    record->reason = DEATH_SANDBOX_VIOLATION;
    record->initiator = INITIATOR_HOST;
    (void)snprintf(record->denied_process, sizeof(record->denied_process), "%s", denial->process);
    (void)snprintf(record->denied_call, sizeof(record->denied_call), "%s", denial->call);
    (void)snprintf(record->denied_layer, sizeof(record->denied_layer), "seccomp");
    (void)snprintf(record->message, sizeof(record->message),
                   "%s made a system call that its seccomp policy denies%s%s", denial->process,
                   denial->call[0] != '\0' ? ": " : "", denial->call);
}

/* The VMM did not say anything: we ended it, or something on the host did. */
static void judge_unsaid(const DeathFacts *facts, DeathRecord *record)
{
    record->initiator = INITIATOR_HOST;
    if (facts->oom) {
        record->reason = DEATH_OOM;
        record->initiator = INITIATOR_LIMIT;
        set_message(record, "the VM used more memory than its guest has and its VMM may need");
    } else if (facts->cause.set) {
        record->reason = facts->cause.reason;
        record->initiator = facts->cause.initiator;
        set_message(record, facts->cause.message);
    } else if (record->vmm_signal != 0) {
        record->reason = DEATH_KILLED;
    } else if (!facts->running) {
        record->reason = DEATH_START_FAILED;
        set_message(record, "the VMM ended before the guest could run");
    } else {
        record->reason = DEATH_UNKNOWN;
        set_message(record, "the VMM ended without saying why");
    }
}

void death_judge(const DeathFacts *facts,
                 VmmEnd end,
                 const VmmBackend *backend,
                 DeathRecord *record)
{
    /* By a filter that nobody listens to. */
    static const Denial unheard = { .process = "the VMM" };

    set_exit(facts, record);
    record->payload_exit_code = facts->guest.exit_code;
    record->payload_signal = facts->guest.signal;
    record->oom = facts->oom;
    record->initiator = facts->stop_initiator != 0 ? facts->stop_initiator : INITIATOR_GUEST;

    /* Whatever else the VMM says: it may be somebody else's by then. */
    if (facts->cause.set && facts->cause.reason == DEATH_SANDBOX_VIOLATION) {
        set_denial(&facts->cause.denial, record);
        return;
    }
    if (record->vmm_signal == SIGSYS) {
        set_denial(&unheard, record);
        return;
    }
    /* What the VMM said had come to pass before anything that we did. */
    switch (end) {
    case VMM_END_GUEST_SHUTDOWN:
        record->reason = DEATH_SHUTDOWN;
        if (facts->guest.has_error) {
            record->reason = guest_error_to_death_reason(facts->guest.error_code);
            set_message(record, facts->guest.message);
        }
        break;
    case VMM_END_GUEST_RESET:
        record->reason = DEATH_REBOOT;
        break;
    case VMM_END_GUEST_PANIC:
        record->reason = DEATH_CRASH;
        set_message(record, "the guest's kernel panicked");
        break;
    case VMM_END_HOST_SIGNAL:
        record->reason = DEATH_KILLED;
        record->initiator = INITIATOR_HOST;
        record->vmm_signal = backend->find_signal(record->vmm_tail);
        break;
    case VMM_END_UNSAID:
        judge_unsaid(facts, record);
        break;
    }
}
