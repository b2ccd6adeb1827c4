/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-layout.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static const uint8_t random_bytes[(GPT_PARTITIONS_MAX + 2) * GPT_GUID_SIZE] = { 0x5a, 0xa5 };

static CompositeLayout *new_layout(const CompositePartition *partitions, size_t n_partitions)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeLayout *layout = NULL;

    assert_int_equal(composite_layout_new(partitions, n_partitions, random_bytes, &layout, &error),
                     0);
    assert_int_equal(error.kind, ERROR_NONE);
    return layout;
}

static void assert_refused(const CompositePartition *partitions,
                           size_t n_partitions,
                           const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeLayout *layout = NULL;

    assert_int_equal(composite_layout_new(partitions, n_partitions, random_bytes, &layout, &error),
                     -EINVAL);
    assert_null(layout);
    assert_int_equal(error.kind, ERROR_INVALID_CONFIG);
    assert_string_equal(error_get_message(&error), sentence);
}

static void regions_cover_the_disk_and_agree_with_the_table(void **state)
{
    (void)state;
    static const CompositePartition partitions[] = {
        { .label = "one-byte", .size = 1 },  { .label = "sector", .size = 512 },
        { .label = "odd", .size = 513 },     { .label = "aligned", .size = 8192, .writable = true },
        { .label = "nearly", .size = 4095 }, { .label = "over", .size = 4097 },
    };
    static const struct {
        CompositeRegionKind kind;
        size_t partition;
        uint64_t size;
    } expected[] = {
        { COMPOSITE_HEAD, 0, GPT_HEAD_SIZE }, { COMPOSITE_PARTITION, 0, 512 },
        { COMPOSITE_FILLER, 0, 3584 },        { COMPOSITE_PARTITION, 1, 512 },
        { COMPOSITE_FILLER, 0, 3584 },        { COMPOSITE_PARTITION, 2, 1024 },
        { COMPOSITE_FILLER, 0, 3072 },        { COMPOSITE_PARTITION, 3, 8192 },
        { COMPOSITE_PARTITION, 4, 4096 },     { COMPOSITE_PARTITION, 5, 4608 },
        { COMPOSITE_FILLER, 0, 3584 },        { COMPOSITE_TAIL, 0, GPT_TAIL_SIZE },
    };
    _cleanup_(composite_layout_freep) CompositeLayout *layout = new_layout(partitions, 6);
    uint64_t size = 0, at = GPT_HEAD_SIZE;

    assert_int_equal(layout->n_regions, ELEMENTS_OF(expected));
    for (size_t i = 0; i < ELEMENTS_OF(expected); i++) {
        assert_int_equal(layout->regions[i].kind, expected[i].kind);
        assert_int_equal(layout->regions[i].partition, expected[i].partition);
        assert_true(layout->regions[i].size == expected[i].size);
        size += expected[i].size;
    }
    assert_true(layout->disk_size == size);

    for (size_t i = 0; i < 6; i++) {
        const uint8_t *entry = layout->head + 2 * GPT_SECTOR_SIZE + i * 128;
        uint64_t aligned = (partitions[i].size + 4095) / 4096 * 4096;
        uint64_t first = at / GPT_SECTOR_SIZE, last = first + aligned / GPT_SECTOR_SIZE - 1;

        assert_int_equal(at % COMPOSITE_ALIGNMENT, 0);
        assert_int_equal(entry[32] | entry[33] << 8, first);
        assert_int_equal(entry[40] | entry[41] << 8, last);
        at += aligned;
    }
}

static void guids_are_made_of_the_random_bytes_in_order(void **state)
{
    (void)state;
    static const CompositePartition partitions[] = { { .label = "a", .size = 4096 },
                                                     { .label = "b", .size = 4096 } };
    uint8_t random[3 * GPT_GUID_SIZE];
    _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL;

    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)(0x10 * (i / GPT_GUID_SIZE + 1));
    assert_int_equal(composite_layout_new(partitions, 2, random, &layout, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *guid = i == 0 ? layout->head + GPT_SECTOR_SIZE + 56
                                     : layout->head + 2 * GPT_SECTOR_SIZE + (i - 1) * 128 + 16;

        assert_int_equal(guid[0], 0x10 * (i + 1));
        assert_int_equal(guid[7], 0x40);
        assert_int_equal(guid[8] & 0xc0, 0x80);
    }
}

static void bad_partitions_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        CompositePartition partitions[2];
        const char *sentence;
    } cases[] = {
        { { { .label = "a", .size = 1 }, { .label = "a", .size = 1 } },
          "the disk has two partitions with the label 'a'" },
        { { { .label = "a", .size = 1 }, { .label = "", .size = 1 } },
          "partition 1 has an empty label" },
        { { { .label = "a", .size = 1 }, { .label = "\xff", .size = 1 } },
          "the label of partition 1 is not UTF-8" },
        { { { .label = "a", .size = 1 },
            { .label = "1234567890123456789012345678901234567", .size = 1 } },
          "the partition label '1234567890123456789012345678901234567' has 37 UTF-16 units; a GPT "
          "takes at most 36" },
        { { { .label = "a", .size = 0 }, { .label = "b", .size = 1 } },
          "the file of partition 'a' is empty" },
        { { { .label = "a", .size = 1 }, { .label = "b", .size = 4095, .writable = true } },
          "the file of the writable partition 'b' has 4095 bytes, which is no multiple of 4096: "
          "extend it" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_refused(cases[i].partitions, 2, cases[i].sentence);
}

static void labels_are_taken_up_to_36_units(void **state)
{
    (void)state;
    static const CompositePartition partitions[] = {
        { .label = "123456789012345678901234567890123456", .size = 1 },
        /* 17 characters of two units, and two of one. */
        { .label = "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                   "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                   "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                   "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                   "\xf0\x9f\x98\x80"
                   "ab",
          .size = 1 },
    };

    assert_null(composite_layout_free(new_layout(partitions, 2)));
}

static void disk_has_1_to_128_partitions(void **state)
{
    (void)state;
    static char labels[GPT_PARTITIONS_MAX + 1][8];
    CompositePartition partitions[GPT_PARTITIONS_MAX + 1];

    for (size_t i = 0; i < GPT_PARTITIONS_MAX + 1; i++) {
        (void)snprintf(labels[i], sizeof(labels[i]), "p%zu", i);
        partitions[i] = (CompositePartition){ .label = labels[i], .size = 1 };
    }
    assert_refused(partitions, 0, "a disk takes 1 to 128 partitions, this one has 0");
    assert_refused(partitions, GPT_PARTITIONS_MAX + 1,
                   "a disk takes 1 to 128 partitions, this one has 129");

    /* Each with a filler: the region table is full. */
    _cleanup_(composite_layout_freep) CompositeLayout *layout =
        new_layout(partitions, GPT_PARTITIONS_MAX);
    assert_int_equal(layout->n_regions, ELEMENTS_OF(layout->regions));
    assert_int_equal(layout->regions[layout->n_regions - 1].kind, COMPOSITE_TAIL);
}

static void disk_ends_below_the_largest_offset(void **state)
{
    (void)state;
    const uint64_t largest = (INT64_MAX - GPT_TAIL_SIZE - GPT_HEAD_SIZE) / 4096 * UINT64_C(4096);
    CompositePartition partitions[] = { { .label = "huge", .size = largest },
                                        { .label = "more", .size = 1 } };
    const uint64_t too_large[] = { largest + 1, INT64_MAX, UINT64_MAX - 4096, UINT64_MAX - 510,
                                   UINT64_MAX };

    CompositeLayout *layout = new_layout(partitions, 1);
    assert_true(layout->disk_size <= INT64_MAX);
    assert_true(layout->disk_size == GPT_HEAD_SIZE + largest + GPT_TAIL_SIZE);
    composite_layout_free(layout);

    assert_refused(partitions, 2, "the disk gets too large with partition 'more'");
    for (size_t i = 0; i < ELEMENTS_OF(too_large); i++) {
        partitions[0].size = too_large[i];
        assert_refused(partitions, 1, "the disk gets too large with partition 'huge'");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_cover_the_disk_and_agree_with_the_table),
        cmocka_unit_test(guids_are_made_of_the_random_bytes_in_order),
        cmocka_unit_test(bad_partitions_are_refused_by_name),
        cmocka_unit_test(labels_are_taken_up_to_36_units),
        cmocka_unit_test(disk_has_1_to_128_partitions),
        cmocka_unit_test(disk_ends_below_the_largest_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
