/* SPDX-License-Identifier: Apache-2.0 */
/* The digest of an APK's contents that signatures are made over: all but the signing block, in
 * chunks or as a hash tree, so that it is hashed on all cores. Sources: source.android.com, "APK
 * Signature Scheme v2", "Integrity-protected contents"; AOSP, tools/apksig, VerityTreeBuilder.java.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"
#include "composite-disk/signature-algorithm.h"

#define APK_DIGEST_MAX 64
#define APK_CHUNK_SIZE (1U << 20)
/* More than three parts of a zip can have, whose offsets and sizes have 32 bits. */
#define APK_CHUNKS_MAX (3U << 12)

typedef struct ApkContent {
    ByteSource entries; /* up to the signing block */
    ByteSource directory;
    ByteSource end; /* where the directory's offset is to be the signing block's */
} ApkContent;

typedef struct ApkDigest {
    uint8_t bytes[APK_DIGEST_MAX];
    size_t size;
} ApkDigest;

/* The verity digest is one only where the signing block begins on a multiple of 4096:
 * ERROR_IMAGE_INVALID. @n_threads: 0 for one on each CPU that the process may use; all have ended
 * when it returns. @progress may be NULL. */
int apk_digest_compute(const ApkContent *content,
                       ContentDigest kind,
                       unsigned n_threads,
                       const Progress *progress,
                       ApkDigest *ret_digest,
                       Error *error);
