/* SPDX-License-Identifier: Apache-2.0 */
/* Puts dm-verity over the partition of an APK, with the tree and the root in its idsig's. That
 * makes the APK's bytes one and the same for everybody who reads them, not trustworthy: an idsig's
 * root is the host's word until it was compared with a trusted one, or apk-verify has read the
 * whole APK through the device. Source of the way: AOSP, guest/apkdmverity of
 * packages/modules/Virtualization. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/idsig.h"
#include "guest/device-mapper.h"

#define IDSIG_HEADER_HASH_SIZE 32 /* SHA-256 */

typedef struct ApkVerity {
    char path[DEVICE_PATH_SIZE]; /* of the verity device */
    uint8_t root[MERKLE_HASH_SIZE];
    uint8_t
        salt[MERKLE_SALT_ALIGNMENT]; /* of @salt_size bytes, 0 or all: padded, see merkle-tree.h */
    size_t salt_size;
    /* All of the idsig up to its tree, as it was read once: the partition is the host's, and may
     * say something else the next time. Owned. */
    uint8_t *idsig_header;
    size_t idsig_header_size;
    uint8_t idsig_header_hash[IDSIG_HEADER_HASH_SIZE];
    /* What the idsig says of the APK's own signature. */
    uint8_t apk_digest[IDSIG_APK_DIGEST_MAX];
    size_t apk_digest_size;
    uint32_t algorithm;
    uint32_t tree_size; /* 0 for an APK of one block: its hash is the root */
} ApkVerity;

/* Reads @idsig, with anything behind its tree, as that of an APK on a partition of @apk_size bytes,
 * a multiple of 4096. Fills all but @path. ERROR_IMAGE_INVALID says what does not fit. */
int apk_verity_read_idsig(const ByteSource *idsig,
                          uint64_t apk_size,
                          ApkVerity *ret_verity,
                          Error *error);

/* Makes the verity device @name over the two partitions. */
int apk_verity_open(const char *name,
                    const char *apk_device,
                    const char *idsig_device,
                    ApkVerity *ret_verity,
                    Error *error);

/* Frees what is owned; the device stays, for device_mapper_remove(). */
void apk_verity_deinit(ApkVerity *verity);
