/* SPDX-License-Identifier: Apache-2.0 */
/* Listens to what the VM's programs ask the kernel for outside the steady part of their seccomp
 * policies (seccomp_unotify(2)). Until the seal, which comes before the guest's first instruction,
 * calls of the start-up are let through; after it this process has itself given up the right to
 * let any through, and every call that still arrives is a violation, whose caller stands still
 * until it is killed. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "common/seccomp-policy.h"
#include "protocol/launch-spec.h"
#include "vmm-launcher/stub.h"

/* One of the VM's programs. */
typedef struct GuardProgram {
    int listener;          /* negative: none */
    int status;            /* /proc/PID/status, opened while there was a /proc */
    SeccompPolicy *policy; /* owned by the caller */
} GuardProgram;

typedef struct GuardHandlers {
    /* @program made call @number, which its policy denies, and stands still. */
    void (*denied)(void *userdata, StubProgram program, int number);
} GuardHandlers;

typedef struct Guard Guard;

/* @programs and @handlers outlive the guard. With another @action than SECCOMP_KILL there are no
 * violations: calls are refused or let through, and logged once each. */
int guard_new(sd_event *event,
              const GuardProgram programs[static STUB_PROGRAM_MAX],
              LaunchSeccompAction action,
              const GuardHandlers *handlers,
              void *userdata,
              Guard **ret_guard);
Guard *guard_free(Guard *guard);

/* Checks that each program is what it was made to be: of @uid and, if @own_uid, the gid of the same
 * number and no other group; without capabilities, unable to gain
 * any, under a seccomp filter. Then seals, by putting on the policy @sealed, which lacks the answer
 * to notifications. The guest must not run when this fails. */
int guard_seal(Guard *guard, uid_t uid, bool own_uid, const SeccompPolicy *sealed, Error *error);
