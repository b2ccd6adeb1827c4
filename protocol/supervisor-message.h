/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the daemon and a launcher, which becomes the VM's supervisor: one a
 * SOCK_SEQPACKET packet. Descriptors travel down only. What comes up is fixed fields with checked
 * ranges and bounded text that the supervisor has escaped: the daemon parses nothing that a guest
 * or a VMM wrote. Format: u16 type, then the fields of that type in order, integers little-endian,
 * text as u16 length and bytes.
 *
 * What happens to a VM has numbers, which count from 2 (1 is its creation, which is the daemon's).
 * A supervisor keeps the last ones and outlives its daemon. The next daemon connects to the
 * supervisor's socket, is greeted with HELLO, and, if it speaks that version, asks by ADOPT for the
 * state and for what is kept. What a daemon has told its clients it acknowledges; a dead VM's
 * supervisor goes when its death is acknowledged. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "protocol/guest-message.h"
#include "protocol/stop-plan.h"
#include "protocol/vm-state.h"

/* Of these messages. LAUNCH, REFUSED and HELLO keep their form in all versions: by them, two sides
 * that do not understand each other tell. */
#define SUPERVISOR_PROTOCOL_VERSION 1

/* Only DIED is larger than 2 KiB, and there is one of a VM: what is kept of its other messages is
 * not more for it. A socket's buffer, by default, takes five of this size. */
#define SUPERVISOR_MESSAGE_SIZE_MAX (8192 + SUPERVISOR_CRASH_REPORT_MAX)
#define SUPERVISOR_TEXT_MAX         1024 /* bytes of one sentence */
#define SUPERVISOR_TAIL_MAX         2048 /* bytes of the last console or VMM lines */
#define SUPERVISOR_NAME_MAX         31   /* bytes of the name of a process or a call */
#define SUPERVISOR_CRASH_REPORT_MAX GUEST_CRASH_REPORT_MAX /* when it is escaped */

typedef enum SupervisorMessageType {
    /* Down. */
    SUPERVISOR_LAUNCH = 1,  /* @version; @value descriptors follow in FILES; carries the spec */
    SUPERVISOR_FILES = 2,   /* carries the next @value descriptors, at most 250 */
    SUPERVISOR_STOP = 3,    /* as @stop says */
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
    SUPERVISOR_ADOPT = 10,       /* after HELLO: what is the state, and what has happened? */
    SUPERVISOR_ACKNOWLEDGE = 11, /* clients know of everything up to @event_number */
    /* Streams the console (@value: a ConsoleMode) or a log (@value: a LogKind) to the socket it
     * carries: what is kept, then what comes. @id */
    SUPERVISOR_OPEN_CONSOLE = 12,
    SUPERVISOR_OPEN_LOG = 13,
    /* Hands the guest's connections to host port @value to the SOCK_SEQPACKET socket it carries.
     * @id */
    SUPERVISOR_LISTEN_VSOCK = 14,
    SUPERVISOR_CAPTURE_VSOCK = 15, /* writes the guest's packets to what it carries. @id */
    SUPERVISOR_SET_BALLOON = 16,   /* takes @size bytes of its memory from the guest */
    /* In place of LAUNCH, as CREATE_IDSIG: holds the kernel in the second file it carries and the
     * initrd in the third, which is of the AvbBootInitrd @value, against the vbmeta in the first.
     */
    SUPERVISOR_VERIFY_BOOT = 17,
    /* Up. */
    SUPERVISOR_ACCEPTED = 64,  /* the spec is good; events follow */
    SUPERVISOR_REFUSED = 65,   /* @error_kind and @text; nothing was started */
    SUPERVISOR_RUNNING = 66,   /* vCPUs were released, at @time_usec; @value: the VMM's pid */
    SUPERVISOR_EVENT = 67,     /* what happened to the VM, but for its death */
    SUPERVISOR_DIED = 68,      /* the death record; nothing follows */
    SUPERVISOR_CONNECTED = 69, /* to what had @id: @value is 0 or an errno */
    SUPERVISOR_HELLO = 70,     /* @version, to whoever connects */
    /* To ADOPT: the state after the event @event_number, and the last number that was acknowledged.
     * Before the vCPUs were released, @value (the VMM's pid) and @time_usec (of that) are 0. The
     * events that are kept follow. */
    SUPERVISOR_STATE = 71,
    SUPERVISOR_STOP_STEP = 72, /* @value: the StopStep that is under way; an event as well */
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
    StopStep stop_step; /* the last that was taken; none: nobody asked it to stop */
    /* What the guest has sent of its payload's crash, escaped: not owned, and without a NUL at its
     * end. Of a decoded message it is valid as long as the bytes. */
    const char *crash_report;
    size_t crash_report_size;      /* 0: none */
    uint64_t crash_report_dropped; /* bytes of it that were too many */
} DeathRecord;

typedef struct SupervisorMessage {
    SupervisorMessageType type;
    uint32_t version; /* LAUNCH and HELLO */
    uint32_t id;
    uint32_t value;
    StopPlan stop;                      /* STOP */
    uint64_t size;                      /* INITIALIZE_PARTITION and SET_BALLOON */
    uint64_t time_usec;                 /* CLOCK_REALTIME: events, but DIED, and STATE */
    uint64_t event_number;              /* events, STATE and ACKNOWLEDGE */
    uint64_t acknowledged;              /* STATE */
    VmState state, resume_to;           /* STATE; see vm_state_next() */
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
