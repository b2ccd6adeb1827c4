/* SPDX-License-Identifier: Apache-2.0 */
/* A disk as a list of pieces of files, in the languages in which it is told to others: QEMU's VMDK
 * descriptor and the table of the kernel's device mapper. (crosvm's is composite-descriptor.h,
 * which alone takes protobuf-c.) No byte of the files is read. Sources: VMware, "Virtual Disk
 * Format 1.1", "The Descriptor File", as far as QEMU's block/vmdk.c reads it; the kernel's
 * admin-guide/device-mapper. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define REGION_SECTOR_SIZE   512
#define REGION_FILE_NAME_MAX 511       /* bytes; QEMU reads no longer ones */
#define REGION_VMDK_MAX      (1 << 20) /* bytes; QEMU refuses a larger descriptor */

typedef struct Region {
    const char *label; /* of the partition; NULL for the table around them and for filler */
    const char *file;  /* as whoever reads the table opens it */
    uint64_t file_offset;
    uint64_t size; /* bytes, both whole sectors */
    bool writable;
} Region;

/* Each puts a text into @ret_text, which the caller frees. ERROR_NOT_SUPPORTED for what the
 * language cannot say, by label: broken sectors, a file name that is too long or has a quotation
 * mark or a control character; in a VMDK, which is opened whole in one mode, read-only partitions
 * beside writable ones; in a table of the device mapper, a name with a space. */
int region_table_to_vmdk(
    const Region *regions, size_t n_regions, char **ret_text, size_t *ret_size, Error *error);
int region_table_to_device_mapper(
    const Region *regions, size_t n_regions, char **ret_text, size_t *ret_size, Error *error);
