/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on image files, done by a disk worker of the launcher's: the daemon does not read or write
 * them itself. A job that a client asks for ends with the client, and each with the daemon. */
#pragma once

#include "composite-disk/avb-boot.h"
#include "dbus/bus-service.h"
#include "virtualizationd/daemon.h"

typedef struct DiskJob DiskJob;

/* The end of one of the daemon's own jobs; @error is clear if it was done. */
typedef void (*DiskJobDone)(void *userdata, const Error *error);

/* What a VM of an operating system is booted from; descriptors that are lent. */
typedef struct BootFiles {
    int vbmeta, kernel, initrd;
    AvbBootInitrd initrd_kind;
} BootFiles;

/* Starts the making of a new writable partition image in @fd, which it takes whether it succeeds or
 * not: @size bytes of the type with this name. Replies to @call when it is done. */
int disk_job_initialize_partition(
    Daemon *daemon, int fd, uint64_t size, const char *type, BusCall *call, Error *error);

/* Starts the making or renewing of the idsig in @idsig_fd, for the APK in @apk_fd; takes both.
 * Replies to @call when it is done. */
int disk_job_create_or_update_idsig(
    Daemon *daemon, int apk_fd, int idsig_fd, BusCall *call, Error *error);

/* Starts to hold @files against each other. Charged to nobody: boot-check.h sees to it that there
 * are few. @done is called once, unless this fails. */
int disk_job_verify_boot(
    Daemon *daemon, const BootFiles *files, DiskJobDone done, void *userdata, Error *error);

/* Gives up the jobs of the client that had this unique name on the bus. */
void disk_job_client_gone(Daemon *daemon, const char *name);

/* Ends the job with ERROR_UNAVAILABLE: for the end of the daemon. */
void disk_job_give_up(DiskJob *job);
