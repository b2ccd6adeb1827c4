/* SPDX-License-Identifier: Apache-2.0 */
/* What a new writable partition begins with, by its kind. Format code without I/O. Source: AOSP,
 * packages/modules/Virtualization: PartitionType.aidl, virtualizationmanager/src/aidl.rs
 * (initializeWritablePartition) and docs of the instance image (guest/pvmfw/src/instance.rs). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PARTITION_IMAGE_ALIGNMENT  4096 /* sizes are rounded up to it */
#define PARTITION_IMAGE_HEADER_MAX 512

/* The values are AVF's. */
typedef enum PartitionType {
    PARTITION_RAW = 0,                 /* zeros */
    PARTITION_ANDROID_VM_INSTANCE = 1, /* an instance image without records */
    PARTITION_ENCRYPTEDSTORE = 2,      /* to be formatted by the guest that first sees it */
    PARTITION_TYPE_MAX,
} PartitionType;

/* AVF's name in lower case with dashes. */
const char *partition_type_to_string(PartitionType type);
/* -EINVAL for a name that is none. */
int partition_type_from_string(const char *name, PartitionType *ret_type);

/* Writes the first bytes of a new partition, all others of which are zeros; returns how many. */
size_t partition_image_make_header(PartitionType type,
                                   uint8_t header[static PARTITION_IMAGE_HEADER_MAX]);

/* The size of the image for @size wanted bytes. -EFBIG when there is none, -EINVAL for 0. */
int partition_image_round_size(uint64_t size, uint64_t *ret_size);
