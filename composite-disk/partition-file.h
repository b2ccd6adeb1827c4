/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the image of a new writable partition in a file. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "composite-disk/partition-image.h"

/* Makes the regular file behind @fd, which is open for reading and writing, an image of @size
 * bytes, rounded up, without a byte of what was in it. Checks everything first: with
 * ERROR_INVALID_ARGUMENT and INVALID_FILE, and when the file cannot become so large
 * (ERROR_FAILED), it is as it was. When a later step fails, which a disk that is full or broken can
 * make happen, the file is empty. */
int partition_file_initialize(int fd, PartitionType type, uint64_t size, Error *error);
