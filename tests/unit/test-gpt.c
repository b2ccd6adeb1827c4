/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what was written with a reader of its own, after the UEFI Specification 2.10, section 5.3.
 */
#include "composite-disk/gpt.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define SECTORS 1000

static const uint8_t disk_guid[GPT_GUID_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 0x48, 0x89, 10, 11 };

typedef struct Fixture {
    uint8_t head[GPT_HEAD_SIZE];
    uint8_t tail[GPT_TAIL_SIZE];
} Fixture;

static uint64_t get_le(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = width; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint32_t checksum_of(const uint8_t *bytes, size_t size)
{
    return (uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)size);
}

static void assert_zeros(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], 0);
}

static void assert_header(const uint8_t *header,
                          const uint8_t *entries,
                          uint64_t own_lba,
                          uint64_t other_lba,
                          uint64_t entries_lba,
                          uint64_t n_sectors)
{
    uint8_t copy[92];

    assert_memory_equal(header, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
    memcpy(copy, header, sizeof(copy));
    memset(copy + 16, 0, 4);
    assert_int_equal(get_le(header + 16, 4), checksum_of(copy, sizeof(copy)));
    assert_zeros(header + 20, 4);
    assert_true(get_le(header + 24, 8) == own_lba);
    assert_true(get_le(header + 32, 8) == other_lba);
    assert_true(get_le(header + 40, 8) == GPT_FIRST_USABLE_LBA);
    assert_true(get_le(header + 48, 8) == n_sectors - 34);
    assert_memory_equal(header + 56, disk_guid, GPT_GUID_SIZE);
    assert_true(get_le(header + 72, 8) == entries_lba);
    assert_int_equal(get_le(header + 80, 4), 128);
    assert_int_equal(get_le(header + 84, 4), 128);
    assert_int_equal(get_le(header + 88, 4), checksum_of(entries, 128 * 128));
    assert_zeros(header + 92, GPT_SECTOR_SIZE - 92);
}

static void encode(Fixture *fixture,
                   uint64_t n_sectors,
                   const GptPartition *partitions,
                   size_t n_partitions)
{
    memset(fixture, 0xff, sizeof(*fixture));
    gpt_encode(n_sectors * GPT_SECTOR_SIZE, disk_guid, partitions, n_partitions, fixture->head,
               fixture->tail);
}

static void headers_tell_of_each_other_and_have_good_checksums(void **state)
{
    (void)state;
    static Fixture fixture;
    const GptPartition partition = { .label = "system", .offset = GPT_HEAD_SIZE, .size = 4096 };
    const uint64_t sizes[] = { 81 + 8, SECTORS, UINT64_C(1) << 33, INT64_MAX / GPT_SECTOR_SIZE };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        const uint8_t *backup = fixture.tail + GPT_TAIL_SIZE - GPT_SECTOR_SIZE;
        const uint8_t *backup_entries = fixture.tail + GPT_TAIL_SIZE - 33 * GPT_SECTOR_SIZE;

        encode(&fixture, sizes[i], &partition, 1);
        assert_header(fixture.head + GPT_SECTOR_SIZE, fixture.head + 2 * GPT_SECTOR_SIZE, 1,
                      sizes[i] - 1, 2, sizes[i]);
        assert_header(backup, backup_entries, sizes[i] - 1, 1, sizes[i] - 33, sizes[i]);
        assert_memory_equal(backup_entries, fixture.head + 2 * GPT_SECTOR_SIZE, 128 * 128);
    }
    /* What lies between the tables and the partitions. */
    assert_zeros(fixture.head + 34 * GPT_SECTOR_SIZE, 6 * GPT_SECTOR_SIZE);
    assert_zeros(fixture.tail, 7 * GPT_SECTOR_SIZE);
}

static void protective_mbr_covers_what_its_32_bits_can(void **state)
{
    (void)state;
    static Fixture fixture;
    static const struct {
        uint64_t n_sectors;
        uint32_t n_protected;
    } cases[] = {
        { SECTORS, SECTORS - 1 },
        { UINT64_C(1) << 32, UINT32_MAX },
        { (UINT64_C(1) << 32) + 1, UINT32_MAX },
        { UINT64_C(1) << 40, UINT32_MAX },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const uint8_t *entry = fixture.head + 446;

        encode(&fixture, cases[i].n_sectors, NULL, 0);
        assert_zeros(fixture.head, 446);
        assert_int_equal(entry[0], 0);    /* not active */
        assert_int_equal(entry[4], 0xee); /* GPT protective */
        assert_int_equal(get_le(entry + 8, 4), 1);
        assert_int_equal(get_le(entry + 12, 4), cases[i].n_protected);
        assert_zeros(entry + 16, 48);
        assert_memory_equal(fixture.head + 510, "\x55\xaa", 2);
    }
}

static void entries_stand_in_order_and_the_rest_is_empty(void **state)
{
    (void)state;
    static Fixture fixture;
    const GptPartition partitions[] = {
        { .label = "a", .offset = GPT_HEAD_SIZE, .size = 4096, .guid = { 0xaa, 0xab } },
        { .label = "b", .offset = GPT_HEAD_SIZE + 4096, .size = 512, .guid = { 0xba, 0xbb } },
    };
    /* 0FC63DAF-8483-4772-8E79-3D69D8477DE4: three groups little-endian, two big-endian. */
    static const uint8_t linux_filesystem[] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                                0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

    encode(&fixture, SECTORS, partitions, 2);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *entry = fixture.head + 2 * GPT_SECTOR_SIZE + i * 128;

        assert_memory_equal(entry, linux_filesystem, GPT_GUID_SIZE);
        assert_memory_equal(entry + 16, partitions[i].guid, GPT_GUID_SIZE);
        assert_int_equal(get_le(entry + 32, 8), i == 0 ? 40 : 48);
        assert_int_equal(get_le(entry + 40, 8), i == 0 ? 47 : 48); /* inclusive */
        assert_zeros(entry + 48, 8);
        assert_int_equal(get_le(entry + 56, 2), i == 0 ? 'a' : 'b');
        assert_zeros(entry + 58, 70);
    }
    assert_zeros(fixture.head + 2 * GPT_SECTOR_SIZE + 2 * 128, 126 * 128);
}

static void table_is_full_with_128_partitions(void **state)
{
    (void)state;
    static Fixture fixture;
    GptPartition partitions[GPT_PARTITIONS_MAX];

    for (size_t i = 0; i < GPT_PARTITIONS_MAX; i++)
        partitions[i] = (GptPartition){ .label = "123456789012345678901234567890123456",
                                        .offset = GPT_HEAD_SIZE + i * 4096,
                                        .size = 4096 };
    encode(&fixture, 128 * 8 + 80, partitions, GPT_PARTITIONS_MAX);
    const uint8_t *last = fixture.head + 2 * GPT_SECTOR_SIZE + 127 * 128;
    assert_int_equal(get_le(last + 32, 8), 40 + 127 * 8);
    assert_int_equal(get_le(last + 126, 2), '6'); /* the label fills its field */
    assert_zeros(fixture.head + 34 * GPT_SECTOR_SIZE, 6 * GPT_SECTOR_SIZE);
}

static void labels_are_utf16_with_surrogates(void **state)
{
    (void)state;
    static Fixture fixture;
    /* Around the edges of the encodings' lengths; U+1F600 is D83D DE00. */
    const GptPartition partition = {
        .label = "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf0\x9f\x98\x80"
                 "\xf4\x8f\xbf\xbf",
        .offset = GPT_HEAD_SIZE,
        .size = 512,
    };
    static const uint16_t units[] = { 0x7f,   0x80,   0x7ff,  0x800,  0xffff, 0xd800,
                                      0xdc00, 0xd83d, 0xde00, 0xdbff, 0xdfff, 0 };

    encode(&fixture, SECTORS, &partition, 1);
    for (size_t i = 0; i < ELEMENTS_OF(units); i++)
        assert_int_equal(get_le(fixture.head + 2 * GPT_SECTOR_SIZE + 56 + 2 * i, 2), units[i]);
    assert_int_equal(gpt_label_count_units(partition.label), ELEMENTS_OF(units) - 1);
}

static void label_units_are_counted(void **state)
{
    (void)state;

    assert_int_equal(gpt_label_count_units(""), 0);
    assert_int_equal(gpt_label_count_units("abc"), 3);
    assert_int_equal(gpt_label_count_units("\xef\xbf\xbf"), 1);
    assert_int_equal(gpt_label_count_units("\xf0\x90\x80\x80"), 2);
    assert_int_equal(gpt_label_count_units("\xc3"), -EINVAL);
    assert_int_equal(gpt_label_count_units("a\xed\xa0\x80"), -EINVAL);
}

static void random_bytes_become_a_version_4_guid(void **state)
{
    (void)state;
    uint8_t zeros[GPT_GUID_SIZE] = { 0 }, ones[GPT_GUID_SIZE];

    gpt_guid_from_random(zeros);
    assert_int_equal(zeros[7], 0x40); /* the high byte of the third group, little-endian */
    assert_int_equal(zeros[8], 0x80);
    memset(ones, 0xff, sizeof(ones));
    gpt_guid_from_random(ones);
    for (size_t i = 0; i < GPT_GUID_SIZE; i++)
        assert_int_equal(ones[i], i == 7 ? 0x4f : i == 8 ? 0xbf : 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_tell_of_each_other_and_have_good_checksums),
        cmocka_unit_test(protective_mbr_covers_what_its_32_bits_can),
        cmocka_unit_test(entries_stand_in_order_and_the_rest_is_empty),
        cmocka_unit_test(table_is_full_with_128_partitions),
        cmocka_unit_test(labels_are_utf16_with_surrogates),
        cmocka_unit_test(label_units_are_counted),
        cmocka_unit_test(random_bytes_become_a_version_4_guid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
