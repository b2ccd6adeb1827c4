/* SPDX-License-Identifier: Apache-2.0 */
/* The .idsig file of APK Signature Scheme v4: an APK's hash tree, its root, and what is signed of
 * them. Format code without I/O; what it says is not verified here. Sources: source.android.com,
 * "APK Signature Scheme v4"; AOSP, packages/modules/Virtualization, libs/apkverify/src/v4.rs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "composite-disk/merkle-tree.h"

#define IDSIG_VERSION        2
#define IDSIG_HASH_SHA256    1
#define IDSIG_SALT_MAX       32 /* fs-verity's */
#define IDSIG_APK_DIGEST_MAX 64 /* of SHA-512 */
#define IDSIG_SIGNING_INFO_MAX \
    7168 /* apksig's; certificate, key and signature of RSA 8192: 4.6 K */
#define IDSIG_HASHING_INFO_MAX (4 + 1 + 4 + IDSIG_SALT_MAX + 4 + MERKLE_HASH_SIZE)
#define IDSIG_HEADER_MAX       (4 + 4 + IDSIG_HASHING_INFO_MAX + 4 + IDSIG_SIGNING_INFO_MAX + 4)
#define IDSIG_SIGNED_DATA_MAX  (4 + 8 + IDSIG_HASHING_INFO_MAX + IDSIG_SIGNING_INFO_MAX)

/* All byte strings are lent. */
typedef struct Idsig {
    ByteReader salt; /* padded with zeros to MERKLE_SALT_ALIGNMENT before it is hashed */
    uint8_t root[MERKLE_HASH_SIZE];
    ByteReader apk_digest; /* as the APK's own signature has it */
    uint32_t algorithm;    /* of @signature, or without one of the APK's; any number */
    /* All empty when the idsig is not signed. */
    ByteReader certificate, public_key, signature;
    ByteReader additional_data;
    uint32_t tree_size;
    size_t tree_offset; /* in the file; only read */
} Idsig;

/* @bytes are the first ones of the file, IDSIG_HEADER_MAX or all there are. ERROR_IMAGE_INVALID
 * names the field that is wrong: another version, hash or size of blocks than all idsigs of APKs
 * have, a length beyond its maximum or its surroundings, bytes too many. */
int idsig_decode(const void *bytes, size_t size, Idsig *ret_idsig, Error *error);

/* That a file of @file_size bytes ends where the tree does. */
int idsig_check_size(const Idsig *idsig, uint64_t file_size, Error *error);

/* That the tree has the size that the tree of an APK of @apk_size bytes has. */
int idsig_check_tree_size(const Idsig *idsig, uint64_t apk_size, Error *error);

/* All up to the tree; 0 or -ENOBUFS. */
int idsig_encode(const Idsig *idsig, ByteWriter *writer);

/* What the signature is made over, at most IDSIG_SIGNED_DATA_MAX bytes; 0 or -ENOBUFS. */
int idsig_encode_signed_data(const Idsig *idsig, uint64_t apk_size, ByteWriter *writer);
