/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the daemon and a launcher, which becomes the VM's supervisor: one a
 * SOCK_SEQPACKET packet. Descriptors travel down only. What comes up is fixed fields with checked
 * ranges and bounded text that the supervisor has escaped: the daemon parses nothing that a guest
 * or a VMM wrote. Format: u16 type, then the fields of that type in order, integers little-endian,
 * text as u16 length and bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "protocol/guest-message.h"
#include "protocol/vm-state.h"

#define SUPERVISOR_MESSAGE_SIZE_MAX 8192
#define SUPERVISOR_TEXT_MAX         1024 /* bytes of one sentence */
#define SUPERVISOR_TAIL_MAX         2048 /* bytes of the last console or VMM lines */
#define SUPERVISOR_NAME_MAX         31   /* bytes of the name of a process or a call */

typedef enum SupervisorMessageType {
    /* Down. */
    SUPERVISOR_LAUNCH = 1,  /* @value descriptors follow in FILES; carries the spec's memfd */
    SUPERVISOR_FILES = 2,   /* carries the next @value descriptors, at most 250 */
    SUPERVISOR_STOP = 3,    /* ask the guest, then ACPI, then kill; @value: ms each step may take */
    SUPERVISOR_KILL = 4,    /* @value is the DeathInitiator */
    SUPERVISOR_SUSPEND = 5, /* no vCPU runs */
    SUPERVISOR_RESUME = 6,
    SUPERVISOR_CONNECT = 7, /* connects the stream socket it carries to guest port @value; @id */
    /* In place of LAUNCH: makes the file that it carries a new writable partition image of @size
     * bytes and the PartitionType @value. Answered by ACCEPTED when it is done, or REFUSED; then
     * the connection ends. */
    SUPERVISOR_INITIALIZE_PARTITION = 8,
    /* The same: makes or renews, in the second file it carries, the idsig of the APK in the first.
     */
    SUPERVISOR_CREATE_IDSIG = 9,
    /* Up. */
    SUPERVISOR_ACCEPTED = 16,  /* the spec is good; events follow */
    SUPERVISOR_REFUSED = 17,   /* @error_kind and @text; nothing was started */
    SUPERVISOR_RUNNING = 18,   /* vCPUs were released, at @time_usec; @value: the VMM's pid */
    SUPERVISOR_EVENT = 19,     /* what happened to the VM, but for its death */
    SUPERVISOR_DIED = 20,      /* the death record; the last message */
    SUPERVISOR_CONNECTED = 21, /* to CONNECT @id: @value is 0 or an errno */
} SupervisorMessageType;

typedef struct DeathRecord {
    DeathReason reason;
    DeathInitiator initiator;
    int32_t vmm_exit_code;     /* -1: it did not exit by itself */
    int32_t vmm_signal;        /* 0: none */
    int32_t payload_exit_code; /* -1: none was reported */
    int32_t payload_signal;    /* 0: none was reported */
    bool oom;
    /* Of a sandbox violation; "" where it is not known. */
    char denied_process[SUPERVISOR_NAME_MAX + 1];
    char denied_call[SUPERVISOR_NAME_MAX + 1];
    char denied_layer[SUPERVISOR_NAME_MAX + 1];
    uint64_t died_usec;                         /* CLOCK_REALTIME */
    uint64_t console_dropped;                   /* bytes that console-out did not take in time */
    uint64_t payload_out_dropped;               /* the same for payload-out */
    char message[SUPERVISOR_TEXT_MAX + 1];      /* why, for a person; "" for nothing to say */
    char console_tail[SUPERVISOR_TAIL_MAX + 1]; /* the last console lines, escaped */
    char vmm_tail[SUPERVISOR_TAIL_MAX + 1]; /* the last lines the VMM wrote to stderr, escaped */
} DeathRecord;

typedef struct SupervisorMessage {
    SupervisorMessageType type;
    uint32_t id;
    uint32_t value;
    uint64_t size;                      /* INITIALIZE_PARTITION */
    uint64_t time_usec;                 /* CLOCK_REALTIME: RUNNING and EVENT */
    uint64_t event_number;              /* EVENT and DIED */
    VmEvent event;                      /* EVENT; not VM_EVENT_DIED */
    int32_t exit_code;                  /* of VM_EVENT_PAYLOAD_FINISHED */
    GuestErrorCode error_code;          /* of VM_EVENT_GUEST_ERROR */
    ErrorKind error_kind;               /* REFUSED */
    char text[SUPERVISOR_TEXT_MAX + 1]; /* REFUSED; EVENT: the guest's own words, escaped */
    DeathRecord record;                 /* DIED */
} SupervisorMessage;

/* Returns the size in bytes. */
size_t supervisor_message_encode(const SupervisorMessage *message,
                                 uint8_t bytes[static SUPERVISOR_MESSAGE_SIZE_MAX]);

/* -EBADMSG for an unknown type, a value out of range, text that is no clean UTF-8, or a packet
 * that is too short or too long. Fields that the type does not have are zero. */
int supervisor_message_decode(const uint8_t *bytes, size_t size, SupervisorMessage *ret_message);
