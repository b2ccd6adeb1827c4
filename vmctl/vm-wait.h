/* SPDX-License-Identifier: Apache-2.0 */
/* Waits until something has happened to each of several VMs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "vmctl/client.h"
#include "vmctl/vm-selection.h"

typedef enum VmWaitFor {
    VM_WAIT_DEAD,
    VM_WAIT_STARTED, /* the payload, which need not be there any more, here and below */
    VM_WAIT_READY,
    VM_WAIT_FINISHED,
    VM_WAIT_STOPPED, /* dead, or all steps of its stop taken */
} VmWaitFor;

typedef struct VmWait VmWait;

/* Begins to listen, before whatever will make it happen. @client and @selection are lent until
 * vm_wait_free(). */
int vm_wait_new(
    Client *client, VmSelection *selection, VmWaitFor what, VmWait **ret_wait, Error *error);
VmWait *vm_wait_free(VmWait *wait);
DEFINE_CLEANUP(VmWait, vm_wait_free);

/* Waits, for @timeout_usec at most. What cannot happen any more, or has not in time, is an error of
 * its VM, as is a VM that outlives its stop. VMs that have failed before are not waited for. */
int vm_wait_run(VmWait *wait, uint64_t timeout_usec, Error *error);
