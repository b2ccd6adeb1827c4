/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

int state_file_write(int directory, const char *name, const void *bytes, size_t size, bool lasting)
{
    const char *rest = bytes;
    size_t left = size;

    if (unlinkat(directory, STATE_FILE_UNFINISHED, 0) < 0 && errno != ENOENT)
        return -errno;
    _cleanup_close_ int fd =
        openat(directory, STATE_FILE_UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    while (left > 0) {
        ssize_t n = write(fd, rest, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        rest += n;
        left -= (size_t)n;
    }
    if (lasting && fsync(fd) < 0)
        return -errno;
    if (renameat(directory, STATE_FILE_UNFINISHED, directory, name) < 0)
        return -errno;
    return lasting && fsync(directory) < 0 ? -errno : 0;
}

int state_file_read(
    int directory, const char *name, size_t size_max, uint8_t **ret_bytes, size_t *ret_size)
{
    struct stat status;
    size_t size = 0;

    _cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size > (off_t)size_max)
        return -EFBIG;
    size_t wanted = (size_t)status.st_size;
    _cleanup_free_ uint8_t *bytes = malloc(wanted + 1);
    if (!bytes)
        return -ENOMEM;
    while (size < wanted) {
        ssize_t n = read(fd, bytes + size, wanted - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        size += (size_t)n;
    }

    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = size;
    return 0;
}
