/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on image files that clients bring, done by a disk worker of the launcher's: the daemon does
 * not read or write them itself. A job ends with its client, and with the daemon. */
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

/* Gives up the jobs of the client that had this unique name on the bus. */
void disk_job_client_gone(Daemon *daemon, const char *name);

/* Ends the job, whose call gets ERROR_UNAVAILABLE: for the end of the daemon. */
void disk_job_give_up(DiskJob *job);
