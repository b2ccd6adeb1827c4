/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's seccomp filter: a list of system calls that a program in a virtual machine of its
 * own has no use for, and that the kernel's past says to keep from it. They get EPERM, as without
 * the privilege that most of them need. Everything else is allowed: any ordinary program runs.
 *
 * Made by hand and not by seccomp-compile, which makes lists of what is allowed only. */
#pragma once

/* Puts the filter on the calling thread, which has no_new_privs set, and on what it executes.
 * -EOPNOTSUPP when the kernel has no seccomp. */
int payload_filter_apply(void);
