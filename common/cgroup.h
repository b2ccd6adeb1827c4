/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup v2 hierarchy of the host, where it has one, and its controllers. Source: the kernel's
 * admin-guide/cgroup-v2.rst. */
#pragma once

/* What limits a VM; bits of a set. */
typedef enum CgroupController {
    CGROUP_MEMORY = 1 << 0,
    CGROUP_PIDS = 1 << 1,
    CGROUP_CPU = 1 << 2,
    CGROUP_IO = 1 << 3,
} CgroupController;

/* The controller's name in the file system; one bit. */
const char *cgroup_controller_to_string(CgroupController controller);

/* Opens the root of the hierarchy. -ENOENT when none is mounted. */
int cgroup_open_root(int *ret_directory);

/* Opens the cgroup in it that this process is in. */
int cgroup_open_own(int *ret_directory);

/* The set of controllers that @directory has; those of an older hierarchy are not among them. */
unsigned cgroup_get_controllers(int directory);

/* Those of them that the directories below have, too. */
unsigned cgroup_get_delegated_controllers(int directory);
