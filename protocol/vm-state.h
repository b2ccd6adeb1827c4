/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a VM: its states, what can happen to it, the one table of what leads where, and why
 * it ended. The supervisor decides by the table; the daemon follows what it is told and refuses a
 * step that the table lacks. States and death reasons are AVF's (VirtualMachineState and
 * DeathReason of packages/modules/Virtualization), in lower case with dashes. */
#pragma once

#include <stdint.h>

/* The values cross the supervisor's socket. */
typedef enum VmState {
    VM_NOT_STARTED = 1,
    VM_STARTING = 2,  /* the VMM starts, or runs and the payload has not reported */
    VM_STARTED = 3,   /* the payload has started */
    VM_READY = 4,     /* the payload says it can serve */
    VM_FINISHED = 5,  /* the payload has ended, the guest not yet */
    VM_SUSPENDED = 6, /* no vCPU runs; Resume returns to the state before */
    VM_STOPPING = 7,
    VM_DEAD = 8,
    VM_STATE_MAX,
} VmState;

typedef enum VmEvent {
    VM_EVENT_START = 1,
    VM_EVENT_PAYLOAD_STARTED = 2,
    VM_EVENT_PAYLOAD_READY = 3,
    VM_EVENT_PAYLOAD_FINISHED = 4,
    VM_EVENT_GUEST_ERROR = 5,
    VM_EVENT_SUSPEND = 6,
    VM_EVENT_RESUME = 7,
    VM_EVENT_STOP = 8,
    VM_EVENT_DIED = 9,
    VM_EVENT_MAX,
} VmEvent;

/* The values cross the supervisor's socket. */
typedef enum DeathReason {
    DEATH_INFRASTRUCTURE_ERROR = 0,
    DEATH_KILLED = 1,
    DEATH_UNKNOWN = 2,
    DEATH_SHUTDOWN = 3,
    DEATH_START_FAILED = 4,
    DEATH_REBOOT = 5,
    DEATH_CRASH = 6,
    DEATH_FIRMWARE_PUBLIC_KEY_MISMATCH = 7,
    DEATH_FIRMWARE_INSTANCE_IMAGE_CHANGED = 8,
    DEATH_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE = 11,
    DEATH_PAYLOAD_HAS_CHANGED = 12,
    DEATH_PAYLOAD_VERIFICATION_FAILED = 13,
    DEATH_INVALID_PAYLOAD_CONFIG = 14,
    DEATH_UNKNOWN_RUNTIME_ERROR = 15,
    DEATH_HANGUP = 16,
    DEATH_WATCHDOG_REBOOT = 17,
    /* From here on ours. */
    DEATH_OOM = 18,
    DEATH_SANDBOX_VIOLATION = 19,
    DEATH_REASON_MAX,
} DeathReason;

/* Who began the end of a VM. */
typedef enum DeathInitiator {
    INITIATOR_GUEST = 1,
    INITIATOR_HOST = 2,   /* somebody or something on the host, past the daemon */
    INITIATOR_CLIENT = 3, /* Stop, Kill, or the client's connection went */
    INITIATOR_DAEMON = 4,
    INITIATOR_LIMIT = 5, /* a deadline or a quota */
    INITIATOR_MAX,
} DeathInitiator;

/* The names on the bus. NULL for a value outside the table. */
const char *vm_state_to_string(VmState state);
const char *vm_event_to_string(VmEvent event);
const char *death_reason_to_string(DeathReason reason);
const char *death_initiator_to_string(DeathInitiator initiator);

/* -EINVAL for an unknown name. */
int vm_state_from_string(const char *name, VmState *ret_state);

/* The state that @event leads to from @state, or -EALREADY when it is not allowed there. @resume_to
 * is the state before VM_SUSPENDED; only looked at there. */
int vm_state_next(VmState state, VmEvent event, VmState resume_to, VmState *ret_next);
