/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the payload as a process of its own without privileges, and says how it ended.
 *
 * A payload has a user of its own, no capability and no way to one, the filter of
 * guest/payload-filter.h, and no core file: RLIMIT_CORE is 0, which the kernel does not apply to a
 * core that it pipes to a crash handler. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "protocol/guest-message.h"

/* The user and group of the payload, AVF's MICRODROID_PAYLOAD_UID. */
#define PAYLOAD_UID 6000

typedef struct PayloadOptions {
    const char *path;
    const char *const *arguments; /* ends with NULL, the first is the name; NULL: just the path */
    const char *directory;
    const char *ready_socket;
    const char *library_path; /* where libraries are looked for first, or NULL */
    const char *cgroup;       /* a directory that payload-cgroup.h made, or NULL */
    bool privileged; /* run as root with every capability: the debug switch of guest-manager.h */
} PayloadOptions;

/* Starts the payload in a session of its own. The caller reaps *@ret_pid, which the payload's
 * process group is named after too, and owns *@ret_output_fd, its stdout and stderr, which does not
 * block. Fails when the program cannot be executed. */
int payload_spawn(const PayloadOptions *options, pid_t *ret_pid, int *ret_output_fd, Error *error);

/* Turns the status of waitpid(2) into the report of the end: PayloadFinished or Error. */
void payload_describe_end(int wait_status, GuestCall *ret_call);
