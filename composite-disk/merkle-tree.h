/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of the hash trees that fs-verity and dm-verity check blocks with: SHA-256 over blocks
 * of 4096 bytes, the top level first and the hashes of the data last. Format code without I/O;
 * merkle-builder makes the trees. Sources: the kernel's documentation of fs-verity, "Merkle tree",
 * and of dm-verity, "Hash Tree". The two have the same trees but for the salt: fs-verity pads it
 * with zeros to MERKLE_SALT_ALIGNMENT, dm-verity hashes it as it is. */
#pragma once

#include <stdint.h>

#define MERKLE_BLOCK_SIZE       4096 /* of data and tree; every format here has it */
#define MERKLE_BLOCK_SIZE_LOG2  12
#define MERKLE_HASH_SIZE        32
#define MERKLE_HASHES_PER_BLOCK (MERKLE_BLOCK_SIZE / MERKLE_HASH_SIZE)
#define MERKLE_SALT_MAX         256 /* dm-verity's */
#define MERKLE_SALT_ALIGNMENT   64  /* a block of SHA-256 */
#define MERKLE_LEVELS_MAX       8   /* of INT64_MAX bytes */

typedef struct MerkleGeometry {
    uint64_t data_size;
    uint64_t n_data_blocks; /* the last one is padded with zeros */
    unsigned n_levels;      /* 0 for a single block: the root is its hash */
    /* Of each level, the one with the hashes of the data first; bytes, in the tree. */
    uint64_t level_offsets[MERKLE_LEVELS_MAX];
    uint64_t level_sizes[MERKLE_LEVELS_MAX];
    uint64_t tree_size;
} MerkleGeometry;

/* -EFBIG when @data_size is above INT64_MAX. */
int merkle_geometry_init(MerkleGeometry *geometry, uint64_t data_size);
