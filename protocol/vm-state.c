/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/vm-state.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static const char *const state_names[VM_STATE_MAX] = {
    [VM_NOT_STARTED] = "not-started", [VM_STARTING] = "starting",
    [VM_STARTED] = "started",         [VM_READY] = "ready",
    [VM_FINISHED] = "finished",       [VM_SUSPENDED] = "suspended",
    [VM_STOPPING] = "stopping",       [VM_DEAD] = "dead",
};

static const char *const event_names[VM_EVENT_MAX] = {
    [VM_EVENT_START] = "start",
    [VM_EVENT_PAYLOAD_STARTED] = "payload-started",
    [VM_EVENT_PAYLOAD_READY] = "payload-ready",
    [VM_EVENT_PAYLOAD_FINISHED] = "payload-finished",
    [VM_EVENT_GUEST_ERROR] = "guest-error",
    [VM_EVENT_SUSPEND] = "suspend",
    [VM_EVENT_RESUME] = "resume",
    [VM_EVENT_STOP] = "stop",
    [VM_EVENT_DIED] = "died",
};

static const char *const death_reason_names[DEATH_REASON_MAX] = {
    [DEATH_INFRASTRUCTURE_ERROR] = "infrastructure-error",
    [DEATH_KILLED] = "killed",
    [DEATH_UNKNOWN] = "unknown",
    [DEATH_SHUTDOWN] = "shutdown",
    [DEATH_START_FAILED] = "start-failed",
    [DEATH_REBOOT] = "reboot",
    [DEATH_CRASH] = "crash",
    [DEATH_FIRMWARE_PUBLIC_KEY_MISMATCH] = "firmware-public-key-mismatch",
    [DEATH_FIRMWARE_INSTANCE_IMAGE_CHANGED] = "firmware-instance-image-changed",
    [DEATH_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE] =
        "failed-to-connect-to-virtualization-service",
    [DEATH_PAYLOAD_HAS_CHANGED] = "payload-has-changed",
    [DEATH_PAYLOAD_VERIFICATION_FAILED] = "payload-verification-failed",
    [DEATH_INVALID_PAYLOAD_CONFIG] = "invalid-payload-config",
    [DEATH_UNKNOWN_RUNTIME_ERROR] = "unknown-runtime-error",
    [DEATH_HANGUP] = "hangup",
    [DEATH_WATCHDOG_REBOOT] = "watchdog-reboot",
    [DEATH_OOM] = "oom",
    [DEATH_SANDBOX_VIOLATION] = "sandbox-violation",
};

static const char *const initiator_names[INITIATOR_MAX] = {
    [INITIATOR_GUEST] = "guest",   [INITIATOR_HOST] = "host",   [INITIATOR_CLIENT] = "client",
    [INITIATOR_DAEMON] = "daemon", [INITIATOR_LIMIT] = "limit",
};

/* In place of a state: the one before the suspension. */
#define PREVIOUS VM_STATE_MAX

/* An empty cell: not allowed there. A payload moves forward only, and may skip a step; an error
 * report counts as its end (AVF's rule). Reports of a stopping guest are told, not followed. */
/* clang-format off */
static const VmState transitions[VM_STATE_MAX][VM_EVENT_MAX] = {
    [VM_NOT_STARTED] = {
        [VM_EVENT_START] = VM_STARTING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_STARTING] = {
        [VM_EVENT_PAYLOAD_STARTED] = VM_STARTED,
        [VM_EVENT_PAYLOAD_READY] = VM_READY,
        [VM_EVENT_PAYLOAD_FINISHED] = VM_FINISHED,
        [VM_EVENT_GUEST_ERROR] = VM_FINISHED,
        [VM_EVENT_SUSPEND] = VM_SUSPENDED,
        [VM_EVENT_STOP] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_STARTED] = {
        [VM_EVENT_PAYLOAD_READY] = VM_READY,
        [VM_EVENT_PAYLOAD_FINISHED] = VM_FINISHED,
        [VM_EVENT_GUEST_ERROR] = VM_FINISHED,
        [VM_EVENT_SUSPEND] = VM_SUSPENDED,
        [VM_EVENT_STOP] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_READY] = {
        [VM_EVENT_PAYLOAD_FINISHED] = VM_FINISHED,
        [VM_EVENT_GUEST_ERROR] = VM_FINISHED,
        [VM_EVENT_SUSPEND] = VM_SUSPENDED,
        [VM_EVENT_STOP] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_FINISHED] = {
        [VM_EVENT_SUSPEND] = VM_SUSPENDED,
        [VM_EVENT_STOP] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_SUSPENDED] = {
        [VM_EVENT_RESUME] = PREVIOUS,
        [VM_EVENT_STOP] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
    [VM_STOPPING] = {
        [VM_EVENT_PAYLOAD_STARTED] = VM_STOPPING,
        [VM_EVENT_PAYLOAD_READY] = VM_STOPPING,
        [VM_EVENT_PAYLOAD_FINISHED] = VM_STOPPING,
        [VM_EVENT_GUEST_ERROR] = VM_STOPPING,
        [VM_EVENT_DIED] = VM_DEAD,
    },
};
/* clang-format on */

static const char *name_in(const char *const *names, unsigned n_names, unsigned value)
{
    return value < n_names ? names[value] : NULL;
}

const char *vm_state_to_string(VmState state)
{
    return name_in(state_names, VM_STATE_MAX, state);
}

const char *vm_event_to_string(VmEvent event)
{
    return name_in(event_names, VM_EVENT_MAX, event);
}

const char *death_reason_to_string(DeathReason reason)
{
    return name_in(death_reason_names, DEATH_REASON_MAX, reason);
}

const char *death_initiator_to_string(DeathInitiator initiator)
{
    return name_in(initiator_names, INITIATOR_MAX, initiator);
}

int vm_state_from_string(const char *name, VmState *ret_state)
{
    for (unsigned state = VM_NOT_STARTED; state < VM_STATE_MAX; state++) {
        if (strcmp(state_names[state], name) == 0) {
            *ret_state = (VmState)state;
            return 0;
        }
    }
    return -EINVAL;
}

int vm_state_next(VmState state, VmEvent event, VmState resume_to, VmState *ret_next)
{
    if ((unsigned)state >= VM_STATE_MAX || (unsigned)event >= VM_EVENT_MAX)
        return -EALREADY;

    VmState next = transitions[state][event];
    if (next == PREVIOUS)
        next = resume_to;
    if (next == 0)
        return -EALREADY;

    *ret_next = next;
    return 0;
}
