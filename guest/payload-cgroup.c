/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/fd.h"

static int write_file(const char *directory, const char *name, const char *text)
{
    char path[128];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, strlen(text));
}

int payload_cgroup_make(const char *root, const char *path, Error *error)
{
    char limit[16];

    /* ENOENT or EINVAL: there is no pids controller. */
    int r = write_file(root, "cgroup.subtree_control", "+pids");
    if (r < 0 && r != -ENOENT && r != -EINVAL)
        return error_set_errno(error, ERROR_FAILED, r, "cannot delegate in %s", root);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", path);
    (void)snprintf(limit, sizeof(limit), "%d", PAYLOAD_TASKS_MAX);
    r = write_file(path, "pids.max", limit);
    if (r < 0 && r != -ENOENT)
        return error_set_errno(error, ERROR_FAILED, r, "cannot limit the tasks of %s", path);
    return 0;
}

int payload_cgroup_set_up(Error *error)
{
    /* ENODEV: there is no such file system; ENOENT: nor its mount point, which sysfs has. */
    if (mount("cgroup2", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        if (errno == ENODEV || errno == ENOENT)
            return -EOPNOTSUPP;
        return error_set_errno(error, ERROR_FAILED, errno, "cannot mount %s", CGROUP_ROOT);
    }
    return payload_cgroup_make(CGROUP_ROOT, PAYLOAD_CGROUP, error);
}

int payload_cgroup_join(const char *path)
{
    return write_file(path, "cgroup.procs", "0");
}

int payload_cgroup_kill(const char *path)
{
    return write_file(path, "cgroup.kill", "1");
}
