/* SPDX-License-Identifier: Apache-2.0 */
/* The block of numbered values before an APK's central directory that signatures are in. Source:
 * source.android.com, "APK Signature Scheme v2", "APK Signing Block". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/zip-sections.h"

#define APK_SIGNING_BLOCK_MAX       (8U << 20) /* those seen have a few KiB */
#define APK_SIGNING_BLOCK_ALIGNMENT 4096       /* of its begin and its size, as apksigner has it */

typedef enum ApkBlockId {
    APK_BLOCK_V2 = 0x7109871a,
    APK_BLOCK_V3 = 0xf05368c0,
    APK_BLOCK_PADDING = 0x42726577,
} ApkBlockId;

typedef struct ApkSigningBlock {
    uint64_t offset; /* in the APK; its size is what is left up to the directory */
    uint8_t *bytes;  /* owned; the pairs, without the sizes and the magic around them */
    size_t size;
} ApkSigningBlock;

/* 1 when there is one, 0 when the APK has none. ERROR_IMAGE_INVALID for one that is damaged. */
int apk_signing_block_read(const ByteSource *apk,
                           const ZipSections *sections,
                           ApkSigningBlock *ret_block,
                           Error *error);
void apk_signing_block_deinit(ApkSigningBlock *block);

/* Lends the value of @id: 1, or 0 when there is none. ERROR_IMAGE_INVALID when there are two, or
 * when any pair ends outside the block. */
int apk_signing_block_find(const ApkSigningBlock *block,
                           uint32_t id,
                           ByteReader *ret_value,
                           Error *error);

/* A whole block with one value, and another that fills it up to the alignment; the caller frees. */
int apk_signing_block_make(
    uint32_t id, const void *value, size_t size, uint8_t **ret_block, size_t *ret_size);
