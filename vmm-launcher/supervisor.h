/* SPDX-License-Identifier: Apache-2.0 */
/* Watches one VM from after the drop to its end, and holds the truth about its state. */
#pragma once

#include <sys/types.h>

#include "protocol/launch-spec.h"
#include "vmm-launcher/guard.h"
#include "vmm-launcher/stub.h"
#include "vmm-launcher/vmm.h"

/* What the launcher hands over; the supervisor takes the descriptors. Negative: not there. */
typedef struct SupervisorSetup {
    const LaunchSpec *spec;
    const VmmBackend *backend;
    int connection;  /* to the daemon */
    int next_daemon; /* a listening socket for its successors */
    StubProcesses processes;
    GuardProgram programs[STUB_PROGRAM_MAX];
    const SeccompPolicy *sealed_policy; /* of the supervisor from the seal on */
    uid_t uid;                          /* the VM's */
    bool own_uid;                       /* nobody else's */
    int cgroup_kill;                    /* see VmCgroup; lent */
    int memory_events;                  /* the same */
    int stub_report;
    int control;
    int console;
    int broker;
    int vmm_stderr;
    int console_out, console_in, log, payload_out; /* of output_open() */
    int uid_lock;
    int *disk_locks; /* array and descriptors; given up when the VMM is dead */
    size_t n_disk_locks;
} SupervisorSetup;

/* Returns when the VM has ended and everything about it is told: 0, or a negative errno when it
 * could not be watched, in which case it was ended. */
int supervisor_run(SupervisorSetup *setup);
