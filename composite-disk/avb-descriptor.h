/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors in a vbmeta structure: what it says of partitions, and what the kernel's command
 * line and the system's properties get from it. Format code without I/O. Source: AOSP, external/avb
 * (Android Verified Boot 2.0): README.md and the field lists of libavb/avb_descriptor.h,
 * avb_property_descriptor.h, avb_hashtree_descriptor.h, avb_hash_descriptor.h,
 * avb_kernel_cmdline_descriptor.h, avb_chain_partition_descriptor.h.
 *
 * All numbers are big-endian. Each begins with its tag and the number of bytes that follow, both 64
 * bits, and is filled with zeros up to a multiple of 8:
 *
 *   property        key size, value size (64); key, NUL, value, NUL
 *   hashtree        version (32), image size, tree offset, tree size (64), data block size, hash
 *                   block size, FEC roots (32), FEC offset, FEC size (64), algorithm (32 bytes),
 *                   sizes of name, salt and digest, flags (32), 60 zeros; name, salt, digest
 *   hash            image size (64), algorithm (32 bytes), sizes of name, salt and digest, flags
 *                   (32), 60 zeros; name, salt, digest
 *   kernel cmdline  flags, size (32); text
 *   chain partition rollback index location, sizes of name and key, flags (32), 60 zeros; name, key
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define AVB_PARTITION_NAME_MAX 31  /* libavb has 32 bytes for it, with the NUL */
#define AVB_SALT_SIZE_MAX      256 /* dm-verity's */
#define AVB_DIGEST_SIZE_MAX    64
#define AVB_ALGORITHM_SIZE     32 /* of the field, with at least one NUL */
#define AVB_IMAGE_SIZE_MAX     INT64_MAX

typedef enum AvbTag {
    AVB_PROPERTY = 0,
    AVB_HASHTREE = 1,
    AVB_HASH = 2,
    AVB_KERNEL_CMDLINE = 3,
    AVB_CHAIN_PARTITION = 4,
} AvbTag;

/* Lent: of the buffer that a descriptor was read from, or of whoever makes one. */
typedef struct AvbBytes {
    const uint8_t *data;
    size_t size;
} AvbBytes;

typedef struct AvbProperty {
    AvbBytes key, value; /* without their NULs; the key is text */
} AvbProperty;

typedef struct AvbHashtree {
    uint32_t dm_verity_version;
    uint64_t image_size, tree_offset, tree_size;
    uint32_t data_block_size, hash_block_size;
    uint32_t fec_roots; /* 0: there is no forward error correction */
    uint64_t fec_offset, fec_size;
    char algorithm[AVB_ALGORITHM_SIZE];
    AvbBytes name, salt, digest; /* no name: of the image in an APEX */
    uint32_t flags;
} AvbHashtree;

typedef struct AvbHash {
    uint64_t image_size;
    char algorithm[AVB_ALGORITHM_SIZE];
    AvbBytes name, salt, digest; /* no digest: the device keeps it */
    uint32_t flags;
} AvbHash;

typedef struct AvbKernelCmdline {
    uint32_t flags;
    AvbBytes text;
} AvbKernelCmdline;

typedef struct AvbChainPartition {
    uint32_t rollback_index_location;
    AvbBytes name, public_key;
    uint32_t flags;
} AvbChainPartition;

typedef struct AvbDescriptor {
    uint64_t tag;
    union {
        AvbProperty property;
        AvbHashtree hashtree;
        AvbHash hash;
        AvbKernelCmdline kernel_cmdline;
        AvbChainPartition chain_partition;
        AvbBytes unknown; /* of another tag: everything behind the size */
    };
} AvbDescriptor;

typedef struct AvbDescriptorCursor {
    ByteReader reader;
    size_t offset; /* of the next one */
} AvbDescriptorCursor;

AvbDescriptorCursor avb_descriptor_cursor(AvbBytes descriptors);

/* Decodes the next one: 1, 0 behind the last, or ERROR_IMAGE_INVALID, which names its offset.
 * Sizes and offsets that do not fit each other, names that are no text and fields of a known tag
 * that are out of their range are refused; an unknown tag is not. */
int avb_descriptor_next(AvbDescriptorCursor *cursor, AvbDescriptor *ret_descriptor, Error *error);

/* Encodes it; ERROR_INVALID_ARGUMENT for what avb_descriptor_next() would refuse. Whether it fits
 * the writer is asked there. */
int avb_descriptor_encode(const AvbDescriptor *descriptor, ByteWriter *writer, Error *error);

/* The partition that it is about, or no bytes. */
AvbBytes avb_descriptor_get_partition(const AvbDescriptor *descriptor);

/* The version of libavb, 1.x, that this descriptor needs. */
uint32_t avb_descriptor_get_minor_version(const AvbDescriptor *descriptor);

/* "hashtree" and so on; "unknown". */
const char *avb_tag_to_string(uint64_t tag);

/* The size of that hash, 0 for one that is not known. */
size_t avb_hash_algorithm_get_size(const char *algorithm);

AvbBytes avb_bytes_from_string(const char *text);
bool avb_bytes_equal(AvbBytes a, AvbBytes b);
