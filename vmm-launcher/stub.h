/* SPDX-License-Identifier: Apache-2.0 */
/* Pid 1 of a VM's pid namespace: starts the VM's programs, reports how they end with their true
 * status (a VMM that is itself pid 1 does not die of its own abort()), and is the last way to end
 * the VM: whoever connects to its socket, or kills it, ends everything in the namespace. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "vmm-launcher/vmm.h"

typedef enum StubProgram {
    STUB_VMM,
    STUB_VSOCK_DEVICE,
    STUB_PROGRAM_MAX,
} StubProgram;

const char *stub_program_to_string(StubProgram program);

typedef struct StubPlan {
    VmmCommand *commands[STUB_PROGRAM_MAX];
    int stderr_fd;    /* standard output and error of the programs */
    int report_fd;    /* SOCK_SEQPACKET: the supervisor has the other end */
    int kill_fd;      /* a listening socket, or negative */
    int uid_lock_fd;  /* kept open: the uid is taken as long as this process is there */
    uid_t uid;        /* user and group of everything here */
    gid_t device_gid; /* an additional group for the VMM's device, or 0 */
} StubPlan;

/* Starts the stub in new namespaces and waits until its programs were executed. @ret_pidfd is the
 * stub's, @ret_pids their pids as seen from here. ERROR_START_FAILED names the step. */
int stub_start(const StubPlan *plan,
               int *ret_pidfd,
               pid_t ret_pids[static STUB_PROGRAM_MAX],
               Error *error);

/* A report on StubPlan.report_fd's other end: a program ended. @code and @status as in siginfo_t
 * (CLD_EXITED and so on). Any byte that is sent to the stub on it kills the VMM, whose end is then
 * reported like any other; that is sooner than the end of the whole namespace. */
typedef struct StubReport {
    uint32_t program;
    int32_t code;
    int32_t status;
} StubReport;
