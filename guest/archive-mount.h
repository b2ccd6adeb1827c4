/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts an archive as a file system: the mount is guest-manager's, what serves it is zipfuse,
 * which has the device of the archive and no privilege. */
#pragma once

#include <sys/types.h>

#include "common/error.h"
#include "guest/deadline.h"

/* The user that zipfuse runs as. */
#define ARCHIVE_UID 6001

typedef struct ArchiveMount {
    pid_t pid;    /* of zipfuse, which ends when it is unmounted; the caller reaps it */
    int ready_fd; /* owned until archive_mount_wait() */
} ArchiveMount;

/* Mounts the archive on @device at @directory, which is there; its files are the group @gid's to
 * read. Whoever looks at one before archive_mount_wait() waits for zipfuse. */
int archive_mount_start(
    const char *device, const char *directory, gid_t gid, ArchiveMount *ret_mount, Error *error);

/* Waits until zipfuse serves it; ERROR_IMAGE_INVALID when it gives up, as for what is no archive.
 */
int archive_mount_wait(ArchiveMount *mount, Deadline deadline, Error *error);
