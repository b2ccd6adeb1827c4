/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/partition-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

static int check(int fd, uint64_t size, uint64_t *ret_rounded, uint64_t *ret_old, Error *error)
{
    struct stat status;

    if (partition_image_round_size(size, ret_rounded) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a partition cannot have %" PRIu64 " bytes",
                         size);
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || fd_get_access_mode(fd) != O_RDWR)
        return error_set(
            error, ERROR_INVALID_FILE,
            "a partition image is a regular file that is open for reading and writing");
    if (fcntl(fd, F_GETFL) & O_APPEND) /* then every write goes to the end, wherever it belongs */
        return error_set(error, ERROR_INVALID_FILE,
                         "a partition image must not be open for appending");
    *ret_old = (uint64_t)status.st_size;
    return 0;
}

static int write_image(int fd, PartitionType type, uint64_t size)
{
    uint8_t header[PARTITION_IMAGE_HEADER_MAX];
    size_t header_size = partition_image_make_header(type, header);

    if (ftruncate(fd, (off_t)size) < 0)
        return -errno;
    return fd_pwrite_all(fd, header, header_size, 0);
}

int partition_file_initialize(int fd, PartitionType type, uint64_t size, Error *error)
{
    uint64_t rounded, old;

    int r = check(fd, size, &rounded, &old, error);
    if (r < 0)
        return r;
    /* Whether it can be so large shows before anything is lost. */
    if (rounded > old && ftruncate(fd, (off_t)rounded) < 0)
        return error_set_errno(error, ERROR_FAILED, errno,
                               "cannot make a partition image of %" PRIu64 " bytes", rounded);
    /* To nothing first, so that no byte of what was there stays. */
    if (ftruncate(fd, 0) < 0)
        return error_set_errno(error, ERROR_FAILED, errno,
                               "cannot empty the file of the partition image");
    r = write_image(fd, type, rounded);
    if (r >= 0)
        return 0;
    /* Rather empty than half an image; a file that cannot even be cut off says so. */
    return error_set_errno(error, ERROR_FAILED, r, "cannot write the partition image%s",
                           ftruncate(fd, 0) < 0 ? ", and what is there of it is none" : "");
}
