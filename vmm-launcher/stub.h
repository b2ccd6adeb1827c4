/* SPDX-License-Identifier: Apache-2.0 */
/* Pid 1 of a VM's pid namespace: goes into the box (box.h), starts the VM's programs in it, reports
 * how they end with their true status (a VMM that is itself pid 1 does not die of its own abort()),
 * and is the last way to end the VM: whoever connects to its socket, or kills it, ends everything
 * in the namespace. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/seccomp-policy.h"
#include "vmm-launcher/box.h"
#include "vmm-launcher/vmm.h"

typedef enum StubProgram {
    STUB_VMM,
    STUB_VSOCK_DEVICE,
    STUB_PROGRAM_MAX,
} StubProgram;

const char *stub_program_to_string(StubProgram program);

/* The number a program is executed from: above RLIMIT_NOFILE, so that nothing can be put there
 * again, and with that the one execveat(2) that the policies allow is spent. */
#define STUB_EXEC_FD 4000

typedef struct StubCommand {
    VmmCommand *command; /* its first argument is a path in the box */
    const SeccompPolicy *policy;
    uint64_t file_size_max; /* bytes that a file may have after it wrote to it */
    uint32_t threads_max;   /* of all processes of the VM's uid */
} StubCommand;

typedef struct StubPlan {
    StubCommand commands[STUB_PROGRAM_MAX];
    const Box *box;
    const SeccompPolicy *policy; /* of the stub */
    int null_fd;                 /* standard input of the programs */
    int stderr_fd;               /* standard output and error of the programs */
    int report_fd;               /* SOCK_SEQPACKET: the supervisor has the other end */
    int kill_fd;                 /* a listening socket, or negative */
    int uid_lock_fd;             /* kept open: the uid is taken as long as this process is there */
    int cgroup_fd;               /* a cgroup v2 directory to start in, or negative */
    uid_t uid;                   /* user of everything here */
    gid_t gid;                   /* and its group */
} StubPlan;

/* What stub_start() gives; the caller owns the descriptors. */
typedef struct StubProcesses {
    int pidfd;                       /* of the stub */
    pid_t pids[STUB_PROGRAM_MAX];    /* as seen from here */
    int listeners[STUB_PROGRAM_MAX]; /* seccomp_unotify(2); negative when its policy has none */
} StubProcesses;

/* Starts the stub in new namespaces and waits until its programs were executed. Those with a
 * listener stand still at their first system call that needs an answer. ERROR_START_FAILED names
 * the step. */
int stub_start(const StubPlan *plan, StubProcesses *ret_processes, Error *error);

/* A report on StubPlan.report_fd's other end: a program ended. @code and @status as in siginfo_t
 * (CLD_EXITED and so on). Any byte that is sent to the stub on it kills the VMM, whose end is then
 * reported like any other; that is sooner than the end of the whole namespace. */
typedef struct StubReport {
    uint32_t program;
    int32_t code;
    int32_t status;
} StubReport;
