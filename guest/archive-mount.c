/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/archive-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "guest/helper-process.h"

#define ZIPFUSE_PATH "/usr/lib/microguest/boot/zipfuse"

static int mount_fuse(int fuse_fd, const char *directory)
{
    char options[128];

    (void)snprintf(options, sizeof(options),
                   "fd=%d,rootmode=40555,user_id=%d,group_id=%d,allow_other,default_permissions",
                   fuse_fd, ARCHIVE_UID, ARCHIVE_UID);
    return mount("archive", directory, "fuse", MS_RDONLY | MS_NOSUID | MS_NODEV, options) < 0
               ? -errno
               : 0;
}

static int spawn_zipfuse(int archive_fd, int fuse_fd, int ready_fd, gid_t gid, pid_t *ret_pid)
{
    char program[] = ZIPFUSE_PATH, archive[32], fuse[32], ready[32], uid[] = "--uid=0", group[32];
    char *const arguments[] = { program, archive, fuse, ready, uid, group, NULL };
    const int fds[] = { archive_fd, fuse_fd, ready_fd };
    const HelperOptions options = {
        .arguments = arguments, .uid = ARCHIVE_UID, .fds = fds, .n_fds = ELEMENTS_OF(fds)
    };

    (void)snprintf(archive, sizeof(archive), "--archive-fd=%d", archive_fd);
    (void)snprintf(fuse, sizeof(fuse), "--fuse-fd=%d", fuse_fd);
    (void)snprintf(ready, sizeof(ready), "--ready-fd=%d", ready_fd);
    (void)snprintf(group, sizeof(group), "--gid=%u", gid);
    return helper_spawn(&options, ret_pid);
}

int archive_mount_start(
    const char *device, const char *directory, gid_t gid, ArchiveMount *ret_mount, Error *error)
{
    int pipe_fds[2];

    _cleanup_close_ int archive_fd = open(device, O_RDONLY | O_CLOEXEC);
    if (archive_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", device);
    _cleanup_close_ int fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open /dev/fuse");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    _cleanup_close_ int reader = pipe_fds[0], writer = pipe_fds[1];
    int r = mount_fuse(fuse_fd, directory);
    if (r >= 0)
        r = spawn_zipfuse(archive_fd, fuse_fd, writer, gid, &ret_mount->pid);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot mount the archive at %s", directory);

    ret_mount->ready_fd = take_fd(&reader);
    return 0;
}

int archive_mount_wait(ArchiveMount *mount, Deadline deadline, Error *error)
{
    _cleanup_close_ int reader = take_fd(&mount->ready_fd);
    char byte;

    int r = deadline_wait_for_fd(deadline, reader, POLLIN);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "zipfuse does not serve the archive");
    if (read(reader, &byte, sizeof(byte)) != sizeof(byte))
        return error_set(error, ERROR_IMAGE_INVALID, "zipfuse cannot read the archive");
    return 0;
}
