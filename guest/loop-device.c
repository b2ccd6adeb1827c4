/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/loop-device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/ckd.h"
#include "common/fd.h"

#define CONTROL_PATH "/dev/loop-control"

/* Another process may be faster with a device that was free a moment ago. */
#define ATTEMPTS_MAX 64

/* Configures the device with number @number: -EBUSY when it is not free any more. */
static int configure(const struct loop_config *config, int number, char *ret_path, int *ret_fd)
{
    char path[DEVICE_PATH_SIZE];

    (void)snprintf(path, sizeof(path), "/dev/loop%d", number);
    _cleanup_close_ int loop_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (loop_fd < 0)
        return -errno;
    uint64_t size;
    if (ioctl(loop_fd, LOOP_CONFIGURE, config) < 0 || ioctl(loop_fd, BLKGETSIZE64, &size) < 0)
        return -errno;
    /* The kernel takes what there is when the file ends before the limit. */
    if (size != config->info.lo_sizelimit)
        return -ENODATA;
    memcpy(ret_path, path, sizeof(path));
    *ret_fd = take_fd(&loop_fd);
    return 0;
}

int loop_device_open(int fd,
                     uint64_t offset,
                     uint64_t size,
                     char path[static DEVICE_PATH_SIZE],
                     int *ret_fd,
                     Error *error)
{
    /* Without LO_FLAGS_DIRECT_IO the page cache stands between, which is why any offset will do. */
    const struct loop_config config = { .fd = (uint32_t)fd,
                                        .info = { .lo_offset = offset,
                                                  .lo_sizelimit = size,
                                                  .lo_flags =
                                                      LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR } };
    uint64_t end;
    int r = -EBUSY;

    /* A size of 0 would be all there is. */
    if (size == 0 || size % DEVICE_MAPPER_SECTOR != 0 || ckd_add(&end, offset, size) ||
        end > INT64_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "no loop device can have %" PRIu64 " bytes from %" PRIu64 " on", size,
                         offset);

    _cleanup_close_ int control_fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
    if (control_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", CONTROL_PATH);
    for (unsigned i = 0; r == -EBUSY && i < ATTEMPTS_MAX; i++) {
        int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
        r = number < 0 ? -errno : configure(&config, number, path, ret_fd);
    }
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r,
                                   "cannot show %" PRIu64 " bytes from %" PRIu64
                                   " on as a loop device",
                                   size, offset)
                 : 0;
}
