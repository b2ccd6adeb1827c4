/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup of the payload: bounds how many processes it has, and ends them all, those that left
 * its session too. Source: the kernel's admin-guide/cgroup-v2.rst. */
#pragma once

#include "common/error.h"

#define CGROUP_ROOT    "/sys/fs/cgroup"
#define PAYLOAD_CGROUP CGROUP_ROOT "/payload"

/* Processes and threads. A machine with a quarter of the memory that so many need is large. */
#define PAYLOAD_TASKS_MAX 4096

/* Mounts the hierarchy at CGROUP_ROOT and makes PAYLOAD_CGROUP. -EOPNOTSUPP, and nothing done, when
 * the kernel has no cgroups; one without the pids controller does not bound. */
int payload_cgroup_set_up(Error *error);

/* Makes the cgroup below the mounted hierarchy @root, as payload_cgroup_set_up() does. */
int payload_cgroup_make(const char *root, const char *path, Error *error);

/* Moves the calling process, which has one thread, into the cgroup. */
int payload_cgroup_join(const char *path);

/* Kills every process in the cgroup. They are gone a moment later, and their parents' to reap. */
int payload_cgroup_kill(const char *path);
