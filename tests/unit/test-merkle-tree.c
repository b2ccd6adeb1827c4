/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/merkle-tree.h"

#include <errno.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define BLOCK 4096ULL

static void the_tree_of_up_to_one_block_is_empty(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 4095, 4096 };
    MerkleGeometry geometry;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        assert_int_equal(merkle_geometry_init(&geometry, sizes[i]), 0);
        assert_int_equal(geometry.n_levels, 0);
        assert_int_equal(geometry.tree_size, 0);
        assert_int_equal(geometry.n_data_blocks, sizes[i] > 0);
        assert_int_equal(geometry.data_size, sizes[i]);
    }
}

static void levels_begin_and_end_at_whole_blocks_of_hashes(void **state)
{
    static const struct {
        uint64_t size;
        unsigned n_levels;
        uint64_t tree_blocks;
    } cases[] = {
        { BLOCK + 1, 1, 1 },       { 128 * BLOCK, 1, 1 },         { 128 * BLOCK + 1, 2, 3 },
        { 740 * BLOCK, 2, 7 },     { 128 * 128 * BLOCK, 2, 129 }, { 128 * 128 * BLOCK + 1, 3, 132 },
        { 17830 * BLOCK, 3, 143 },
    };
    MerkleGeometry geometry;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        assert_int_equal(merkle_geometry_init(&geometry, cases[i].size), 0);
        assert_int_equal(geometry.n_levels, cases[i].n_levels);
        assert_int_equal(geometry.tree_size, cases[i].tree_blocks * BLOCK);
    }
    /* The last one: 1 + 2 + 140 blocks, the top first. */
    assert_int_equal(geometry.level_offsets[2], 0);
    assert_int_equal(geometry.level_sizes[2], BLOCK);
    assert_int_equal(geometry.level_offsets[1], BLOCK);
    assert_int_equal(geometry.level_sizes[1], 2 * BLOCK);
    assert_int_equal(geometry.level_offsets[0], 3 * BLOCK);
    assert_int_equal(geometry.level_sizes[0], 140 * BLOCK);
}

static void the_largest_file_has_a_tree_and_one_byte_more_has_none(void **state)
{
    MerkleGeometry geometry;
    uint64_t sum = 0;

    (void)state;
    assert_int_equal(merkle_geometry_init(&geometry, INT64_MAX), 0);
    assert_int_equal(geometry.n_levels, MERKLE_LEVELS_MAX);
    assert_true(geometry.n_data_blocks == UINT64_C(1) << 51);
    for (unsigned i = 0; i < geometry.n_levels; i++) {
        uint64_t blocks = UINT64_C(1) << (44 - 7 * (i < 6 ? i : 6));

        if (i == 7)
            blocks = 1;
        assert_true(geometry.level_sizes[i] == blocks * BLOCK);
        sum += geometry.level_sizes[i];
    }
    assert_true(geometry.tree_size == sum);

    geometry.n_levels = 77;
    assert_int_equal(merkle_geometry_init(&geometry, UINT64_C(1) << 63), -EFBIG);
    assert_int_equal(merkle_geometry_init(&geometry, UINT64_MAX), -EFBIG);
    assert_int_equal(geometry.n_levels, 77);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_of_up_to_one_block_is_empty),
        cmocka_unit_test(levels_begin_and_end_at_whole_blocks_of_hashes),
        cmocka_unit_test(the_largest_file_has_a_tree_and_one_byte_more_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
