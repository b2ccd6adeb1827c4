/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's cgroup, with limits by the controllers that are there: a directory in the host's cgroup v2
 * hierarchy. Where no service manager gave the launcher a cgroup, the listener, which outlives the
 * launcher, gives the VM's its name and removes it; else it is in the launcher's own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

typedef struct VmCgroupLimits {
    uint64_t memory_bytes; /* of everything in it, the guest's memory included */
    uint32_t pids;
    uint32_t cpus; /* whole processors */
    bool has_device;
    dev_t device; /* the one character device that may be opened */
} VmCgroupLimits;

/* Descriptors; negative where there is nothing. */
typedef struct VmCgroup {
    int directory;
    int kill;          /* cgroup.kill: "1" ends everything in it. As long as it is open, the
                        * cgroup is no leftover */
    int memory_events; /* to be asked with vm_cgroup_had_oom() */
} VmCgroup;

#define VM_CGROUP_INIT                                               \
    {                                                                \
        .directory = -EBADF, .kill = -EBADF, .memory_events = -EBADF \
    }

/* The name of the cgroup of a listener's launch; @number is another one for each. */
#define VM_CGROUP_NAME_SIZE 48
void vm_cgroup_make_name(pid_t listener, uint64_t number, char name[static VM_CGROUP_NAME_SIZE]);

void vm_cgroup_deinit(VmCgroup *cgroup);

/* Makes the cgroup. 0 also where there is no hierarchy to make it in; an error
 * when a limit that could be set cannot. */
int vm_cgroup_make(const char *name,
                   const VmCgroupLimits *limits,
                   VmCgroup *ret_cgroup,
                   Error *error);

/* The same in the cgroup of this process, which a service manager has given to it alone, to divide:
 * the process goes into a leaf, and the VM's is beside it. Both go with the launcher's. */
int vm_cgroup_make_in_own(const VmCgroupLimits *limits, VmCgroup *ret_cgroup, Error *error);

/* Whether the kernel has killed something in the cgroup for want of memory. */
bool vm_cgroup_had_oom(int memory_events);

/* Ends what is left in the cgroup, and removes it. -EBUSY when that takes a moment. */
int vm_cgroup_remove(const char *name);

/* Removes the cgroups of listeners that are gone, but for those of VMs that live on, and the
 * directory of all if nobody needs it. */
void vm_cgroup_remove_leftovers(void);
