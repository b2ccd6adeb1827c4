/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/byte-source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ckd.h"
#include "common/fd.h"

ByteSource byte_source_from_memory(const void *data, size_t size)
{
    return (ByteSource){ .fd = -EBADF, .memory = data, .size = size };
}

static const char *describe(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
        return "a character device";
    default:
        return "of an unknown kind";
    }
}

int byte_source_from_fd(int fd, const char *name, ByteSource *ret_source, Error *error)
{
    struct stat status;
    uint64_t size;

    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at '%s'", name);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s' is %s; an image is a regular file or a block device", name,
                         describe(status.st_mode));
    int mode = fd_get_access_mode(fd);
    if (mode < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, mode, "'%s'", name);
    if (mode != O_RDONLY && mode != O_RDWR)
        return error_set(error, ERROR_INVALID_FILE, "'%s' is not open for reading", name);

    if (S_ISREG(status.st_mode))
        size = (uint64_t)status.st_size;
    else if (ioctl(fd, BLKGETSIZE64, &size) < 0 || size > INT64_MAX)
        return error_set(error, ERROR_INVALID_FILE, "the block device '%s' has no size", name);
    *ret_source = (ByteSource){ .fd = fd, .size = size };
    return 0;
}

int byte_source_open_file(int directory_fd, const char *path, int mode, int *ret_fd)
{
    _cleanup_close_ int place = openat(directory_fd, path, O_PATH | O_CLOEXEC);
    struct stat status;

    if (place < 0 || fstat(place, &status) < 0)
        return -errno;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
        return fd_reopen(place, mode | O_NONBLOCK, ret_fd);
    *ret_fd = take_fd(&place);
    return 0;
}

int byte_source_open(const char *path, ByteSource *ret_source, Error *error)
{
    _cleanup_close_ int fd = -EBADF;

    int r = byte_source_open_file(AT_FDCWD, path, O_RDONLY, &fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open '%s'", path);
    r = byte_source_from_fd(fd, path, ret_source, error);
    if (r < 0)
        return r;
    (void)take_fd(&fd); /* the source has it */
    return 0;
}

static int check_range(const ByteSource *source, uint64_t offset, uint64_t size)
{
    return offset > source->size || size > source->size - offset ? -EBADMSG : 0;
}

int byte_source_slice(const ByteSource *source,
                      uint64_t offset,
                      uint64_t size,
                      ByteSource *ret_slice)
{
    int r = check_range(source, offset, size);
    if (r < 0)
        return r;

    *ret_slice = *source;
    if (source->memory)
        ret_slice->memory += offset;
    ret_slice->offset += offset;
    ret_slice->size = size;
    return 0;
}

int byte_source_join(const ByteSource *parts, size_t n_parts, ByteSource *ret_source)
{
    uint64_t size = 0;

    for (size_t i = 0; i < n_parts; i++) {
        assert(!parts[i].parts);
        if (ckd_add(&size, size, parts[i].size) || size > INT64_MAX)
            return -EFBIG;
    }
    *ret_source = (ByteSource){ .fd = -EBADF, .size = size, .parts = parts, .n_parts = n_parts };
    return 0;
}

/* Depth one: a part is a file or memory. */
static int read_parts(const ByteSource *source, uint64_t offset, uint8_t *bytes, size_t size)
{
    offset += source->offset;
    for (size_t i = 0; size > 0; i++) {
        assert(i < source->n_parts); /* the range was checked against the sum of their sizes */
        const ByteSource *part = &source->parts[i];
        if (offset >= part->size) {
            offset -= part->size;
            continue;
        }
        size_t here = size < part->size - offset ? size : (size_t)(part->size - offset);
        int r = byte_source_read(part, offset, bytes, here);
        if (r < 0)
            return r;
        bytes += here;
        size -= here;
        offset = 0;
    }
    return 0;
}

int byte_source_read(const ByteSource *source, uint64_t offset, void *buffer, size_t size)
{
    uint8_t *bytes = buffer;

    int r = check_range(source, offset, size);
    if (r < 0)
        return r;
    if (source->parts)
        return read_parts(source, offset, bytes, size);
    if (source->fd < 0) {
        if (size > 0)
            memcpy(buffer, source->memory + offset, size);
        return 0;
    }

    while (size > 0) {
        ssize_t n = pread(source->fd, bytes, size, (off_t)(source->offset + offset));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        bytes += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int byte_source_read_all(const ByteSource *source, size_t max, uint8_t **ret_bytes)
{
    if (source->size > max)
        return -EFBIG;

    size_t size = (size_t)source->size;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return -ENOMEM;
    int r = byte_source_read(source, 0, bytes, size);
    if (r < 0) {
        explicit_bzero(bytes, size); /* it may be half a key */
        free(bytes);
        return r;
    }
    bytes[size] = '\0';
    *ret_bytes = bytes;
    return 0;
}
