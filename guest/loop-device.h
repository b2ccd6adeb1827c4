/* SPDX-License-Identifier: Apache-2.0 */
/* Shows a part of a file or block device as a block device of its own: the hash tree in an idsig,
 * the image in an APEX. Source: loop(4). */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "guest/device-mapper.h"

/* Attaches @size bytes of @fd from @offset on, read-only, to a loop device whose node is @path.
 * @offset may be any; @size is a multiple of 512. @fd may be closed afterwards. The device goes
 * when nobody has it open any more, so @ret_fd, which the caller owns, is kept until somebody has.
 */
int loop_device_open(int fd,
                     uint64_t offset,
                     uint64_t size,
                     char path[static DEVICE_PATH_SIZE],
                     int *ret_fd,
                     Error *error);
