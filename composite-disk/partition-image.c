/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/partition-image.h"

#include <errno.h>
#include <string.h>

#include "common/ckd.h"
#include "composite-disk/instance-image.h"

#define ENCRYPTEDSTORE_MAGIC "UNFORMATTED-STORAGE"

static const char *const names[PARTITION_TYPE_MAX] = {
    [PARTITION_RAW] = "raw",
    [PARTITION_ANDROID_VM_INSTANCE] = "android-vm-instance",
    [PARTITION_ENCRYPTEDSTORE] = "encryptedstore",
};

const char *partition_type_to_string(PartitionType type)
{
    return names[type];
}

int partition_type_from_string(const char *name, PartitionType *ret_type)
{
    for (unsigned type = 0; type < PARTITION_TYPE_MAX; type++) {
        if (strcmp(name, names[type]) == 0) {
            *ret_type = (PartitionType)type;
            return 0;
        }
    }
    return -EINVAL;
}

size_t partition_image_make_header(PartitionType type,
                                   uint8_t header[static PARTITION_IMAGE_HEADER_MAX])
{
    size_t magic_size = strlen(INSTANCE_IMAGE_MAGIC);

    memset(header, 0, PARTITION_IMAGE_HEADER_MAX);
    switch (type) {
    case PARTITION_ANDROID_VM_INSTANCE:
        memcpy(header, INSTANCE_IMAGE_MAGIC, magic_size);
        header[magic_size] = INSTANCE_IMAGE_VERSION; /* 16 bits, little-endian */
        return PARTITION_IMAGE_HEADER_MAX;
    case PARTITION_ENCRYPTEDSTORE:
        memcpy(header, ENCRYPTEDSTORE_MAGIC, strlen(ENCRYPTEDSTORE_MAGIC));
        return strlen(ENCRYPTEDSTORE_MAGIC);
    case PARTITION_RAW:
    case PARTITION_TYPE_MAX:
        break;
    }
    return 0;
}

int partition_image_round_size(uint64_t size, uint64_t *ret_size)
{
    uint64_t rounded;

    if (size == 0)
        return -EINVAL;
    if (ckd_add(&rounded, size, PARTITION_IMAGE_ALIGNMENT - 1) || rounded > INT64_MAX)
        return -EFBIG;
    *ret_size = rounded - rounded % PARTITION_IMAGE_ALIGNMENT;
    return 0;
}
