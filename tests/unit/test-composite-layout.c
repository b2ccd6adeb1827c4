/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-layout.h"

#include <errno.h>
#include <string.h>

#include "composite-disk/gpt-type.h"
#include "tests/helpers/test.h"

static uint8_t random_bytes[(GPT_PARTITIONS_MAX + 2) * GUID_SIZE];

static int fill_random_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(random_bytes); i++)
        random_bytes[i] = (uint8_t)(i / GUID_SIZE + i);
    return 0;
}

static CompositeLayout *new_layout(const CompositePartition *partitions, size_t n_partitions)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeLayout *layout = NULL;

    assert_int_equal(composite_layout_new(partitions, n_partitions, GPT_SECTOR_SIZE, random_bytes,
                                          &layout, &error),
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

    assert_int_equal(composite_layout_new(partitions, n_partitions, GPT_SECTOR_SIZE, random_bytes,
                                          &layout, &error),
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
        { COMPOSITE_HEAD, 0, GPT_PARTITIONS_OFFSET },
        { COMPOSITE_PARTITION, 0, 1 },
        { COMPOSITE_FILLER, 0, 4095 },
        { COMPOSITE_PARTITION, 1, 512 },
        { COMPOSITE_FILLER, 0, 3584 },
        { COMPOSITE_PARTITION, 2, 513 },
        { COMPOSITE_FILLER, 0, 3583 },
        { COMPOSITE_PARTITION, 3, 8192 },
        { COMPOSITE_PARTITION, 4, 4095 },
        { COMPOSITE_FILLER, 0, 1 },
        { COMPOSITE_PARTITION, 5, 4097 },
        { COMPOSITE_FILLER, 0, 4095 },
        { COMPOSITE_TAIL, 0, GPT_TAIL_SIZE },
    };
    _cleanup_(composite_layout_freep) CompositeLayout *layout = new_layout(partitions, 6);
    uint64_t size = 0, at = GPT_PARTITIONS_OFFSET;

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

static void rounded_regions_are_whole_sectors(void **state)
{
    (void)state;
    static const CompositePartition partitions[] = {
        { .label = "one-byte", .size = 1 },
        { .label = "odd", .size = 513 },
        { .label = "nearly", .size = 3585 },
    };
    static const uint64_t expected[] = {
        GPT_PARTITIONS_OFFSET, 512, 3584, 1024, 3072, 4096, GPT_TAIL_SIZE,
    };
    _cleanup_(composite_layout_freep) CompositeLayout *layout = new_layout(partitions, 3);

    composite_layout_round_to_sectors(layout);
    assert_int_equal(layout->n_regions, ELEMENTS_OF(expected));
    for (size_t i = 0; i < ELEMENTS_OF(expected); i++)
        assert_true(layout->regions[i].size == expected[i]);
    assert_int_equal(layout->regions[layout->n_regions - 1].kind, COMPOSITE_TAIL);
    assert_int_equal(layout->regions[4].kind, COMPOSITE_FILLER);
}

static void types_guids_and_attributes_are_those_asked_for(void **state)
{
    (void)state;
    static const uint8_t type[GUID_SIZE] = { 1, 2 }, guid[GUID_SIZE] = { 3, 4 };
    const CompositePartition partitions[] = {
        { .label = "a",
          .size = 1,
          .type = type,
          .guid = guid,
          .attributes = GPT_ATTRIBUTE_NO_AUTO },
        { .label = "b", .size = 1 },
        { .label = "c", .size = 1, .guid = guid },
    };
    _cleanup_free_ GptTable *table = calloc(1, sizeof(*table));
    _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL;

    assert_int_equal(composite_layout_new(partitions, 2, 4096, random_bytes, &layout, NULL), 0);
    assert_int_equal(layout->head_size, GPT_PARTITIONS_OFFSET4);
    assert_int_equal(gpt_decode(layout->head, layout->head_size, layout->disk_size, table, NULL),
                     0);
    assert_int_equal(table->sector_size, 4096);
    assert_memory_equal(table->partitions[0].type, type, GUID_SIZE);
    assert_memory_equal(table->partitions[0].guid, guid, GUID_SIZE);
    assert_true(table->partitions[0].attributes == GPT_ATTRIBUTE_NO_AUTO);
    assert_memory_equal(table->partitions[1].type, gpt_type_linux_generic, GUID_SIZE);
    assert_refused(partitions, 3, "the partitions 'a' and 'c' have the same GUID");
}

static void guids_are_made_of_the_random_bytes_in_order(void **state)
{
    (void)state;
    static const CompositePartition partitions[] = { { .label = "a", .size = 4096 },
                                                     { .label = "b", .size = 4096 } };
    uint8_t random[3 * GUID_SIZE];
    _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL;

    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)(0x10 * (i / GUID_SIZE + 1));
    assert_int_equal(composite_layout_new(partitions, 2, GPT_SECTOR_SIZE, random, &layout, NULL),
                     0);
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
    const uint64_t largest =
        (INT64_MAX - GPT_TAIL_SIZE - GPT_PARTITIONS_OFFSET) / 4096 * UINT64_C(4096);
    CompositePartition partitions[] = { { .label = "huge", .size = largest },
                                        { .label = "more", .size = 1 } };
    const uint64_t too_large[] = { largest + 1, INT64_MAX, UINT64_MAX - 4096, UINT64_MAX - 510,
                                   UINT64_MAX };

    CompositeLayout *layout = new_layout(partitions, 1);
    assert_true(layout->disk_size <= INT64_MAX);
    assert_true(layout->disk_size == GPT_PARTITIONS_OFFSET + largest + GPT_TAIL_SIZE);
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
        cmocka_unit_test(rounded_regions_are_whole_sectors),
        cmocka_unit_test(types_guids_and_attributes_are_those_asked_for),
        cmocka_unit_test(guids_are_made_of_the_random_bytes_in_order),
        cmocka_unit_test(bad_partitions_are_refused_by_name),
        cmocka_unit_test(labels_are_taken_up_to_36_units),
        cmocka_unit_test(disk_has_1_to_128_partitions),
        cmocka_unit_test(disk_ends_below_the_largest_offset),
    };

    return cmocka_run_group_tests(tests, fill_random_bytes, NULL);
}
