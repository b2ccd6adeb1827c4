/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crash-reporting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/fd.h"

/* %P and not %p: the number in the namespace of init, which crash-reporter is in. */
#define CORE_PATTERN "|" CRASH_REPORTER " %P %s %u"

/* Crashes that are looked at at a time. Above 0 the kernel waits for the handler's end. */
#define CORE_PIPE_LIMIT "4"

static int write_setting(const char *path, const char *value, Error *error)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : fd_write_all(fd, value, strlen(value));
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot set %s", path) : 0;
}

int crash_reporting_enable(Error *error)
{
    int r = write_setting("/proc/sys/kernel/core_pipe_limit", CORE_PIPE_LIMIT, error);
    if (r < 0)
        return r;
    return write_setting("/proc/sys/kernel/core_pattern", CORE_PATTERN, error);
}

int crash_reporting_open(int *ret_fd)
{
    int fd = open(CRASH_REPORT_PATH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}
