/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/merkle-tree.h"

#include <assert.h>
#include <errno.h>

static uint64_t divide_up(uint64_t value, uint64_t divisor)
{
    return value / divisor + (value % divisor != 0);
}

/* With at most 2^51 blocks of data the levels have 2^44, 2^37, … blocks, and no sum overflows. */
int merkle_geometry_init(MerkleGeometry *geometry, uint64_t data_size)
{
    if (data_size > INT64_MAX)
        return -EFBIG;

    *geometry = (MerkleGeometry){
        .data_size = data_size,
        .n_data_blocks = divide_up(data_size, MERKLE_BLOCK_SIZE),
    };
    for (uint64_t n = geometry->n_data_blocks; n > 1;) {
        assert(geometry->n_levels < MERKLE_LEVELS_MAX);
        n = divide_up(n, MERKLE_HASHES_PER_BLOCK);
        geometry->level_sizes[geometry->n_levels++] = n * MERKLE_BLOCK_SIZE;
    }
    for (unsigned i = geometry->n_levels; i-- > 0;) {
        geometry->level_offsets[i] = geometry->tree_size;
        geometry->tree_size += geometry->level_sizes[i];
    }
    return 0;
}
