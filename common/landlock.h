/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock, where the kernel has it: no path can be opened any more but beneath the directories
 * that are named here. Source: landlock(7) and the kernel's userspace-api/landlock.rst. */
#pragma once

#include <stdbool.h>

typedef struct LandlockRule {
    const char *path; /* of a directory or a file */
    bool device;      /* a device to read, write and control; else files to read and execute */
} LandlockRule;

/* The version of Landlock's interface, 0 where the kernel has none. */
int landlock_get_abi(void);

/* Forbids this process and its children every use of paths but what @rules, ended by a NULL path,
 * allow; binding and connecting TCP sockets; and, with a kernel that can, reaching abstract sockets
 * and sending signals out of here. Needs no_new_privs. 0 also where there is no Landlock. */
int landlock_restrict(const LandlockRule *rules);
