/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a program of the guest's system that does one thing for guest-manager without its rights:
 * what reads an archive that somebody else made must not be root. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

typedef struct HelperOptions {
    char *const *arguments; /* NULL-terminated; the first is the program's path */
    uid_t uid;              /* and gid */
    const int *fds;         /* lent; open in the program under the same numbers */
    size_t n_fds;
} HelperOptions;

/* The program has /dev/null to read and write, the caller's standard error, no environment, no
 * privilege, and nothing else open. The caller reaps *@ret_pid. A program that cannot be executed
 * exits with 127. */
int helper_spawn(const HelperOptions *options, pid_t *ret_pid);
