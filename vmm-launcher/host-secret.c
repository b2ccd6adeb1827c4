/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing here believes a path: what counts is the file that was opened, which nobody else may be
 * able to read or to replace. */
#include "vmm-launcher/host-secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/random.h"

#define UNFINISHED HOST_SECRET_NAME ".new"

static int check_file(int fd, const char *path, Error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot look at %s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERROR_START_FAILED, "the host secret %s is no regular file", path);
    if (status.st_uid != geteuid() || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return error_set(error, ERROR_START_FAILED,
                         "the host secret %s has to belong to uid %u and be nobody else's to read "
                         "(chown %u and chmod 0400); if others may have read it, make a new one",
                         path, geteuid(), geteuid());
    if (status.st_size < HOST_SECRET_SIZE_MIN || status.st_size > HOST_SECRET_SIZE_MAX)
        return error_set(error, ERROR_START_FAILED,
                         "the host secret %s has %jd bytes, and may have %d to %d", path,
                         (intmax_t)status.st_size, HOST_SECRET_SIZE_MIN, HOST_SECRET_SIZE_MAX);
    return 0;
}

/* The whole file, of a size that was checked. */
static int read_bytes(int fd, HostSecret *secret)
{
    size_t size = 0;
    ssize_t n;

    do {
        n = read(fd, secret->bytes + size, sizeof(secret->bytes) - size);
        if (n < 0 && errno != EINTR)
            return -errno;
        size += n > 0 ? (size_t)n : 0;
    } while (n != 0 && size < sizeof(secret->bytes));
    secret->size = size;
    return size >= HOST_SECRET_SIZE_MIN ? 0 : -EIO; /* cut meanwhile */
}

/* 1 when it is read, 0 when there is no such file. @path is for sentences. */
static int read_at(
    int directory, const char *name, const char *path, HostSecret *secret, Error *error)
{
    /* Not to wait for a writer, if it is a pipe. */
    _cleanup_close_ int fd =
        openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && errno == ELOOP)
        return error_set(error, ERROR_START_FAILED,
                         "the host secret %s is a symbolic link: name the file itself", path);
    if (fd < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open the host secret %s",
                               path);
    int r = check_file(fd, path, error);
    if (r < 0)
        return r;
    r = read_bytes(fd, secret);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot read the host secret %s",
                               path);
    return 1;
}

static int open_state_directory(const char *path, int *ret_fd, Error *error)
{
    struct stat status;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot make %s, for the host secret", path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot open %s, where the host secret is", path);
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(error, ERROR_START_FAILED,
                         "%s, where the host secret is, has to belong to uid %u and be writable by "
                         "nobody else",
                         path, geteuid());
    *ret_fd = take_fd(&fd);
    return 0;
}

static int write_new(int directory)
{
    uint8_t bytes[HOST_SECRET_NEW_SIZE];

    if (unlinkat(directory, UNFINISHED, 0) < 0 && errno != ENOENT)
        return -errno;
    _cleanup_close_ int fd =
        openat(directory, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return -errno;
    int r = random_fill(bytes, sizeof(bytes));
    if (r >= 0)
        r = fd_write_all(fd, bytes, sizeof(bytes));
    explicit_bzero(bytes, sizeof(bytes));
    if (r < 0)
        return r;
    /* No guest uses it before it is sure to be there tomorrow. */
    if (fsync(fd) < 0 || renameat(directory, UNFINISHED, directory, HOST_SECRET_NAME) < 0 ||
        fsync(directory) < 0)
        return -errno;
    return 0;
}

static int read_or_make(const char *state_dir, HostSecret *secret, Error *error)
{
    _cleanup_close_ int directory = -EBADF;
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/" HOST_SECRET_NAME, state_dir);
    int r = open_state_directory(state_dir, &directory, error);
    if (r < 0)
        return r;
    r = read_at(directory, HOST_SECRET_NAME, path, secret, error);
    if (r != 0)
        return r;
    if (flock(directory, LOCK_EX) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot lock %s", state_dir);
    r = read_at(directory, HOST_SECRET_NAME, path, secret, error); /* made by another meanwhile? */
    if (r != 0)
        return r;
    r = write_new(directory);
    if (r >= 0)
        r = read_at(directory, HOST_SECRET_NAME, path, secret, error);
    if (r <= 0)
        return error_set_errno(error, ERROR_START_FAILED, r < 0 ? r : ENOENT,
                               "cannot make the host secret %s", path);
    log_notice("made a host secret, %s: what guests encrypt is lost without it", path);
    return 0;
}

static int read_named(const char *path, HostSecret *secret, Error *error)
{
    int r = read_at(AT_FDCWD, path, path, secret, error);

    if (r == 0)
        return error_set(error, ERROR_START_FAILED,
                         "there is no host secret %s: make one, of %d random bytes and mode 0400, "
                         "or leave out --host-secret",
                         path, HOST_SECRET_NEW_SIZE);
    return r;
}

/* 0 when there is none. */
static int read_credential(const char *credentials_dir, HostSecret *secret, Error *error)
{
    char path[PATH_MAX];

    if (!credentials_dir)
        return 0;
    int length = snprintf(path, sizeof(path), "%s/" HOST_SECRET_NAME, credentials_dir);
    if (length >= (int)sizeof(path))
        return error_set_errno(error, ERROR_START_FAILED, ENAMETOOLONG, "no host secret");
    return read_at(AT_FDCWD, path, path, secret, error);
}

int host_secret_read(const HostSecretOptions *options, HostSecret *ret_secret, Error *error)
{
    int r = read_credential(options->credentials_dir, ret_secret, error);
    if (r == 0)
        r = options->file ? read_named(options->file, ret_secret, error)
                          : read_or_make(options->state_dir, ret_secret, error);
    return r < 0 ? r : 0;
}

void host_secret_wipe(HostSecret *secret)
{
    explicit_bzero(secret, sizeof(*secret));
}
