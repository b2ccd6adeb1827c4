/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/image-copy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define CHUNK_SIZE  (UINT64_C(16) << 20) /* between two reports */
#define BUFFER_SIZE (UINT64_C(256) << 10)

typedef struct Copy {
    const ByteSource *source;
    int fd;
    bool in_kernel; /* until it says that it cannot */
    uint8_t *buffer;
} Copy;

/* The next data at or behind @offset and where the hole behind it is. Without an answer, as from a
 * block device or memory, all of it is data. */
static void find_data(const ByteSource *source,
                      uint64_t offset,
                      uint64_t *ret_data,
                      uint64_t *ret_end)
{
    off_t first = (off_t)(source->offset + offset);

    *ret_data = offset;
    *ret_end = source->size;
    if (source->fd < 0)
        return;
    off_t data = lseek(source->fd, first, SEEK_DATA);
    if (data < 0) {
        /* A hole up to the end, unless the end has come nearer: reading tells of that. */
        if (errno == ENXIO && lseek(source->fd, 0, SEEK_END) >= (off_t)(source->offset + *ret_end))
            *ret_data = source->size;
        return;
    }
    *ret_data = (uint64_t)data - source->offset;
    if (*ret_data > source->size)
        *ret_data = source->size;
    off_t hole = lseek(source->fd, data, SEEK_HOLE);
    if (hole >= 0 && (uint64_t)hole - source->offset < source->size)
        *ret_end = (uint64_t)hole - source->offset;
}

static bool is_no_for_all(int error_number)
{
    return error_number == EXDEV || error_number == ENOSYS || error_number == EOPNOTSUPP ||
           error_number == EINVAL;
}

/* Copies some of the bytes from @offset on, at most @size; @ret_done is how many, perhaps none. */
static int copy_some(Copy *copy, uint64_t offset, uint64_t size, uint64_t *ret_done)
{
    if (copy->in_kernel) {
        off_t from = (off_t)(copy->source->offset + offset), to = (off_t)offset;
        ssize_t n = copy_file_range(copy->source->fd, &from, copy->fd, &to, (size_t)size, 0);

        if (n > 0 || (n < 0 && errno == EINTR)) {
            *ret_done = n > 0 ? (uint64_t)n : 0;
            return 0;
        }
        if (n < 0 && !is_no_for_all(errno))
            return -errno;
        copy->in_kernel = false; /* some file systems say so with 0 */
    }
    size_t part = size < BUFFER_SIZE ? (size_t)size : BUFFER_SIZE;
    int r = byte_source_read(copy->source, offset, copy->buffer, part);
    if (r >= 0)
        r = fd_pwrite_all(copy->fd, copy->buffer, part, offset);
    *ret_done = part;
    return r;
}

int image_copy(
    const ByteSource *source, int fd, const char *name, const Progress *progress, Error *error)
{
    _cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
    Copy copy = { .source = source, .fd = fd, .in_kernel = source->fd >= 0, .buffer = buffer };
    uint64_t offset = 0, data, end, done = 0;

    if (!buffer)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = ftruncate(fd, (off_t)source->size) < 0 ? -errno : 0;
    while (r >= 0 && offset < source->size) {
        progress_report(progress, offset, source->size);
        find_data(source, offset, &data, &end);
        if (data == source->size)
            break;
        uint64_t size = end - data < CHUNK_SIZE ? end - data : CHUNK_SIZE;
        r = copy_some(&copy, data, size, &done);
        offset = data + (r < 0 ? 0 : done);
    }
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy the image into '%s'", name);
    return 0;
}
