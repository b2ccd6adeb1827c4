/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a vbmeta structure, to and from its bytes, and what is signed of the structure. For
 * vbmeta.c and vbmeta-make.c; nothing is checked here. Source: see vbmeta.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "composite-disk/vbmeta.h"

#define VBMETA_MAGIC      "AVB0"
#define VBMETA_MAGIC_SIZE 4

typedef struct VbmetaRegion {
    uint64_t offset, size; /* bytes, in its block */
} VbmetaRegion;

/* The fields as they follow each other behind the magic. */
typedef struct VbmetaHeader {
    uint32_t major, minor;
    uint64_t authentication_size, auxiliary_size;
    uint32_t algorithm;
    VbmetaRegion hash, signature, public_key, public_key_metadata, descriptors;
    uint64_t rollback_index;
    uint32_t flags, rollback_index_location;
    char release[VBMETA_RELEASE_SIZE];
} VbmetaHeader;

VbmetaHeader vbmeta_header_decode(const uint8_t bytes[static VBMETA_HEADER_SIZE]);
void vbmeta_header_encode(const VbmetaHeader *header, uint8_t ret_bytes[static VBMETA_HEADER_SIZE]);

/* A copy of what hash and signature are of, the two parts around the authentication block, of a
 * structure of @size bytes. The caller frees it; NULL when there is no memory. */
uint8_t *vbmeta_dup_signed_bytes(const uint8_t *data,
                                 size_t size,
                                 size_t authentication_size,
                                 size_t *ret_size);

/* @ret_hash has @algorithm->hash_size bytes of room. */
int vbmeta_hash(const VbmetaAlgorithm *algorithm,
                const uint8_t *bytes,
                size_t size,
                uint8_t *ret_hash);
