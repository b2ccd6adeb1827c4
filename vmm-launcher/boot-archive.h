/* SPDX-License-Identifier: Apache-2.0 */
/* A cpio archive of one file, to stand before a guest's own initrd: the kernel unpacks archives
 * that follow each other into one root directory. Pure: bytes into a buffer of the caller's.
 * Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst ("newc"). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

/* What follows the archive begins at a multiple of this: the kernel wants 4, cpio(1) writes blocks.
 */
#define BOOT_ARCHIVE_BLOCK_SIZE 512

/* Appends an archive whose only file is /@name, a regular one of root's that only root can read,
 * with @size bytes and no time. @name has no slash. Whether all of it did fit says
 * byte_writer_finish(). */
void boot_archive_put(ByteWriter *writer, const char *name, const void *bytes, uint32_t size);
