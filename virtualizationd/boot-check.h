/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what an operating system is booted from matches its vbmeta. A disk worker finds out,
 * which takes as long as to read kernel and initrd: once for all VMs, until one of the files
 * changes. */
#pragma once

#include <sys/queue.h>

#include "virtualizationd/disk-job.h"

#define BOOT_CHECKS_KEPT_MAX                                            \
    64 /* results: of more systems, with two initrds each, than one has \
        */

typedef struct BootCheck BootCheck;

/* Who waits for a check; embedded in what it is for. */
typedef struct BootCheckWaiter {
    LIST_ENTRY(BootCheckWaiter) link;
    BootCheck *check; /* NULL: it does not wait */
    DiskJobDone done; /* called once, unless it leaves before; @error is clear if all matches */
    void *userdata;
} BootCheckWaiter;

/* 1: the files match, as was found before; 0: @waiter waits, and its function will be called;
 * negative errno with @error. */
int boot_check_begin(Daemon *daemon, const BootFiles *files, BootCheckWaiter *waiter, Error *error);

/* Does nothing for one that does not wait. */
void boot_check_leave(BootCheckWaiter *waiter);

/* Forgets all results, after the end of all jobs: for the end of the daemon. */
void boot_check_forget_all(Daemon *daemon);
