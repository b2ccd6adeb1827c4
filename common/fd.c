/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ckd.h"

#define SEALS_ALL (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;

        (void)close(fd); /* Linux has released the number whatever close() says */
        errno = saved;
    }
    return -EBADF;
}

void fd_close_many(int *fds, size_t n_fds)
{
    for (size_t i = 0; i < n_fds; i++)
        fds[i] = fd_close(fds[i]);
}

void fd_close_all_but(const int *keep, size_t n_keep, int also)
{
    int next = STDERR_FILENO + 1;

    for (;;) {
        int lowest = also >= next ? also : INT_MAX;

        for (size_t i = 0; i < n_keep; i++) {
            if (keep[i] >= next && keep[i] < lowest)
                lowest = keep[i];
        }
        if (lowest > next)
            (void)close_range((unsigned)next, (unsigned)lowest - 1, 0); /* needs Linux 5.9 */
        if (lowest == INT_MAX)
            return;
        next = lowest + 1;
    }
}

int fd_get_access_mode(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;

    return flags & O_PATH ? O_PATH : flags & O_ACCMODE;
}

void fd_occupy_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY); /* writing fails with EBADF, as it did before */
    while (fd >= 0 && fd <= STDERR_FILENO);
    (void)fd_close(fd);
}

int fd_reopen(int fd, int flags, int *ret_fd)
{
    char path[sizeof("/proc/self/fd/-2147483648")];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* the array is large enough */
    int reopened = open(path, flags | O_CLOEXEC | O_NOCTTY);
    if (reopened < 0)
        return -errno;

    *ret_fd = reopened;
    return 0;
}

static int fd_change_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -errno;

    int changed = on ? flags | flag : flags & ~flag;
    if (changed != flags && fcntl(fd, set, changed) < 0)
        return -errno;
    return 0;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
    return fd_change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblocking);
}

int fd_set_cloexec(int fd, bool cloexec)
{
    return fd_change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, cloexec);
}

int fd_read_all(int fd, void *data, size_t size, size_t *ret_size)
{
    char *bytes = data;
    size_t filled = 0;

    while (filled < size) {
        ssize_t n = read(fd, bytes + filled, size - filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        filled += (size_t)n;
    }
    *ret_size = filled;
    return 0;
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *rest = data;

    while (size > 0) {
        ssize_t n = write(fd, rest, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        rest += n;
        size -= (size_t)n;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *data, size_t size, uint64_t offset)
{
    const char *rest = data;
    uint64_t end;

    if (ckd_add(&end, offset, size) || end > INT64_MAX)
        return -EFBIG;
    while (size > 0) {
        ssize_t n = pwrite(fd, rest, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        rest += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;

    int r = fd_write_all(fd, data, size);
    if (r < 0)
        return r;

    if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, SEALS_ALL) < 0)
        return -errno;

    *ret_fd = take_fd(&fd);
    return 0;
}

int fd_copy_all(int source, size_t max_size, int destination)
{
    off_t offset = 0;

    /* Read to the end, not to a size asked for earlier: the owner may be writing meanwhile. */
    for (;;) {
        if ((size_t)offset > max_size)
            return -EFBIG;

        ssize_t n = sendfile(destination, source, &offset, max_size - (size_t)offset + 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
    }
}

bool memfd_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)) ==
                             (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

bool fd_is_unix_stream(int fd)
{
    int type, domain;
    socklen_t size = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}
