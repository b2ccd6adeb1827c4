/* SPDX-License-Identifier: Apache-2.0 */
/* Why a VM died: weighs what the supervisor did, what the guest reported, what the VMM said and how
 * it exited against each other. No I/O. The reasons are AVF's, where it has one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/supervisor-message.h"
#include "vmm-launcher/stub.h"
#include "vmm-launcher/vmm.h"

/* A call that a seccomp policy denied. */
typedef struct Denial {
    const char *process;                /* literals */
    char call[SUPERVISOR_NAME_MAX + 1]; /* "" where its name is not known */
} Denial;

/* Why we ended the VM ourselves, if we did: the first cause counts. */
typedef struct EndCause {
    bool set;
    DeathReason reason;
    DeathInitiator initiator;
    char message[SUPERVISOR_TEXT_MAX + 1]; /* escaped */
    Denial denial;                         /* of DEATH_SANDBOX_VIOLATION, which has no message */
} EndCause;

typedef struct GuestReport {
    unsigned reported; /* a bit for each VmEvent */
    bool has_error;    /* one that we did not ask for */
    GuestErrorCode error_code;
    int32_t signal;                        /* that ended the payload; 0: none */
    int32_t exit_code;                     /* -1: none */
    char message[SUPERVISOR_TEXT_MAX + 1]; /* escaped */
} GuestReport;

/* What is known about a VM when it has died. */
typedef struct DeathFacts {
    bool running;                  /* the vCPUs were released once */
    bool oom;                      /* the kernel killed something of it for want of memory */
    DeathInitiator stop_initiator; /* of an orderly stop; 0: none was asked for */
    EndCause cause;
    GuestReport guest;
    bool vmm_reported; /* the stub has told how the VMM ended; else it died with the stub */
    StubReport vmm_end;
} DeathFacts;

/* Fills in reason, initiator, exit code, signals and message of @record, whose vmm_tail is there
 * already: @backend may find something in it. @end is what the VMM said. */
void death_judge(const DeathFacts *facts,
                 VmmEnd end,
                 const VmmBackend *backend,
                 DeathRecord *record);
