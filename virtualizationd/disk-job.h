/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on image files that clients bring, done by a disk worker of the launcher's: the daemon does
 * not read or write them itself. */
#pragma once

#include "dbus/bus-service.h"
#include "virtualizationd/daemon.h"

typedef struct DiskJob DiskJob;

/* Starts the making of a new writable partition image in @fd, which it takes whether it succeeds or
 * not: @size bytes of the type with this name. Replies to @call when it is done. */
int disk_job_initialize_partition(
    Daemon *daemon, int fd, uint64_t size, const char *type, BusCall *call, Error *error);

/* Starts the making or renewing of the idsig in @idsig_fd, for the APK in @apk_fd; takes both.
 * Replies to @call when it is done. */
int disk_job_create_or_update_idsig(
    Daemon *daemon, int apk_fd, int idsig_fd, BusCall *call, Error *error);

/* Gives the job up, and leaves its call without a reply: for the end of the daemon. */
DiskJob *disk_job_free(DiskJob *job);
