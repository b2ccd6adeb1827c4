/* SPDX-License-Identifier: Apache-2.0 */
/* vbmeta structures of Android Verified Boot 2.0: read and verified. What the descriptors in one
 * say is avb-descriptor.h's, and how one is made vbmeta-make.h's. Source: AOSP, external/avb:
 * README.md and libavb/avb_vbmeta_image.h, version 1.3; the layout inside the blocks is avbtool's.
 *
 *   header (256 bytes)   authentication block        auxiliary block
 *   sizes, offsets ...   hash, signature, zeros      descriptors, public key, its metadata, zeros
 *
 * Both blocks are multiples of 64. Hash and signature (PKCS #1 v1.5) are of header and auxiliary
 * block. Numbers are big-endian. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/avb-descriptor.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/signature-algorithm.h"

#define VBMETA_HEADER_SIZE       256
#define VBMETA_BLOCK_ALIGNMENT   64
#define VBMETA_SIZE_MAX          65536 /* libavb's, of all three together */
#define VBMETA_VERSION_MAJOR     1
#define VBMETA_VERSION_MINOR_MAX 3
#define VBMETA_RELEASE_SIZE      48 /* of the field, with at least one NUL */

#define VBMETA_FLAG_HASHTREE_DISABLED     (UINT32_C(1) << 0)
#define VBMETA_FLAG_VERIFICATION_DISABLED (UINT32_C(1) << 1)

/* AVB's algorithms, by its numbers and names. */
typedef struct VbmetaAlgorithm {
    uint32_t type;
    const char *name;
    unsigned key_bits; /* 0: not signed */
    SignatureAlgorithmId signature;
    unsigned hash_size;
} VbmetaAlgorithm;

/* NULL for one that is not known. */
const VbmetaAlgorithm *vbmeta_algorithm_find(uint32_t type);
const VbmetaAlgorithm *vbmeta_algorithm_find_name(const char *name);
/* With SHA-256, for a key of so many bits. */
const VbmetaAlgorithm *vbmeta_algorithm_find_bits(int key_bits);

typedef struct Vbmeta {
    AvbBytes data; /* all of the structure; the other bytes are lent of it */
    uint32_t version_minor;
    const VbmetaAlgorithm *algorithm;
    AvbBytes hash, signature;
    AvbBytes descriptors, public_key, public_key_metadata;
    uint64_t rollback_index;
    uint32_t rollback_index_location;
    uint32_t flags;
    char release[VBMETA_RELEASE_SIZE]; /* printable text */
} Vbmeta;

/* Reads the header at the beginning of @size bytes, behind which there may be others, and checks
 * that all that it speaks of is inside, once. Nothing is verified and no descriptor looked at. */
int vbmeta_parse(const uint8_t *data, size_t size, Vbmeta *ret_vbmeta, Error *error);

/* Verifies hash and signature with the public key in there and, unless @trusted is NULL, that this
 * key is @trusted. 0, or ERROR_IMAGE_INVALID with the first of the reasons that applies: not signed
 * (whatever @trusted), another key, an altered structure, a signature that is not the key's. */
int vbmeta_verify(const Vbmeta *vbmeta, const AvbBytes *trusted, Error *error);

/* Reads the structure in an image, where its footer says or, without one, at the beginning, into
 * @ret_data, which the caller frees. @ret_offset: where it is. */
int vbmeta_load(const ByteSource *source,
                uint8_t **ret_data,
                size_t *ret_size,
                uint64_t *ret_offset,
                Error *error);
