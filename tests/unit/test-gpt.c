/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what was written with a reader of its own first, after the UEFI Specification 2.10,
 * section 5.3.
 */
#include "composite-disk/gpt.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "common/cleanup.h"
#include "composite-disk/gpt-type.h"
#include "tests/helpers/test.h"

#define SECTORS 1000

static const uint8_t disk_guid[GUID_SIZE] = { 1, 2, 3, 4, 5, 6, 0x48, 7, 0x89, 10, 11 };
/* On the disk the first three groups are little-endian. */
static const uint8_t disk_guid_on_disk[GUID_SIZE] = { 4, 3, 2, 1, 6, 5, 7, 0x48, 0x89, 10, 11 };

typedef struct Fixture {
    uint8_t head[GPT_HEAD_SIZE_MAX];
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
    assert_true(get_le(header + 40, 8) == 40);
    assert_true(get_le(header + 48, 8) == n_sectors - 34);
    assert_memory_equal(header + 56, disk_guid_on_disk, GUID_SIZE);
    assert_true(get_le(header + 72, 8) == entries_lba);
    assert_int_equal(get_le(header + 80, 4), 128);
    assert_int_equal(get_le(header + 84, 4), 128);
    assert_int_equal(get_le(header + 88, 4), checksum_of(entries, 128 * 128));
    assert_zeros(header + 92, GPT_SECTOR_SIZE - 92);
}

static void encode_sectors(Fixture *fixture,
                           uint32_t sector_size,
                           uint64_t n_sectors,
                           const GptPartition *partitions,
                           size_t n_partitions)
{
    static GptTable table;

    memset(fixture, 0xff, sizeof(*fixture));
    memset(&table, 0, sizeof(table));
    table.sector_size = sector_size;
    table.disk_size = n_sectors * sector_size;
    memcpy(table.disk_guid, disk_guid, GUID_SIZE);
    table.n_partitions = n_partitions;
    for (size_t i = 0; i < n_partitions; i++) {
        table.partitions[i] = partitions[i];
        memcpy(table.partitions[i].type, gpt_type_linux_generic, GUID_SIZE);
    }
    gpt_encode(&table, fixture->head, fixture->tail);
}

static void encode(Fixture *fixture,
                   uint64_t n_sectors,
                   const GptPartition *partitions,
                   size_t n_partitions)
{
    encode_sectors(fixture, GPT_SECTOR_SIZE, n_sectors, partitions, n_partitions);
}

static void headers_tell_of_each_other_and_have_good_checksums(void **state)
{
    (void)state;
    static Fixture fixture;
    const GptPartition partition = { .label = "system",
                                     .offset = GPT_PARTITIONS_OFFSET,
                                     .size = 4096 };
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
        { .label = "a", .offset = GPT_PARTITIONS_OFFSET, .size = 4096, .guid = { 0xaa, 0xab } },
        { .label = "b",
          .offset = GPT_PARTITIONS_OFFSET + 4096,
          .size = 512,
          .guid = { 0xba, 0xbb } },
    };
    /* 0FC63DAF-8483-4772-8E79-3D69D8477DE4: three groups little-endian, two big-endian. */
    static const uint8_t linux_filesystem[] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                                0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

    encode(&fixture, SECTORS, partitions, 2);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *entry = fixture.head + 2 * GPT_SECTOR_SIZE + i * 128;

        assert_memory_equal(entry, linux_filesystem, GUID_SIZE);
        assert_int_equal(entry[16 + 3], partitions[i].guid[0]);
        assert_int_equal(entry[16 + 2], partitions[i].guid[1]);
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
                                        .offset = GPT_PARTITIONS_OFFSET + i * 4096,
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
        .offset = GPT_PARTITIONS_OFFSET,
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

static void a_disk_of_4096_byte_sectors_has_its_table_in_that_unit(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;
    const GptPartition partition = { .label = "a", .offset = GPT_PARTITIONS_OFFSET4, .size = 8192 };

    encode_sectors(&fixture, 4096, 100, &partition, 1);
    const uint8_t *header = fixture.head + 4096, *backup = fixture.tail + GPT_TAIL_SIZE - 4096;
    assert_memory_equal(header, "EFI PART", 8);
    assert_true(get_le(header + 32, 8) == 99 && get_le(header + 40, 8) == 6);
    assert_true(get_le(header + 48, 8) == 94 && get_le(header + 72, 8) == 2);
    assert_int_equal(get_le(fixture.head + 446 + 12, 4), 99);
    assert_int_equal(get_le(fixture.head + 2 * 4096 + 32, 8), 6);
    assert_int_equal(get_le(fixture.head + 2 * 4096 + 40, 8), 7);
    assert_memory_equal(backup, "EFI PART", 8);
    assert_true(get_le(backup + 24, 8) == 99 && get_le(backup + 72, 8) == 95);
    assert_memory_equal(fixture.tail, fixture.head + 2 * 4096, 128 * 128);

    assert_int_equal(gpt_decode(fixture.head, sizeof(fixture.head), 409600, &table, NULL), 0);
    assert_int_equal(table.sector_size, 4096);
    assert_true(table.partitions[0].offset == GPT_PARTITIONS_OFFSET4);
    assert_int_equal(gpt_check_backup(&table, fixture.tail, GPT_TAIL_SIZE, NULL), 0);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;
    const GptPartition partitions[] = {
        { .label = "\xf0\x9f\x98\x80 a",
          .offset = GPT_PARTITIONS_OFFSET,
          .size = 4096,
          .guid = { 1 },
          .attributes = GPT_ATTRIBUTE_READ_ONLY | GPT_ATTRIBUTE_REQUIRED },
        { .label = "123456789012345678901234567890123456",
          .offset = (UINT64_C(1) << 62) - 4096,
          .size = 4096,
          .guid = { 2 } },
    };

    encode(&fixture, (UINT64_C(1) << 62) / 512 + 40, partitions, 2);
    assert_int_equal(
        gpt_decode(fixture.head, GPT_PARTITIONS_OFFSET, (UINT64_C(1) << 62) + 20480, &table, NULL),
        0);
    assert_int_equal(table.n_partitions, 2);
    assert_memory_equal(table.disk_guid, disk_guid, GUID_SIZE);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(table.partitions[i].label, partitions[i].label);
        assert_true(table.partitions[i].offset == partitions[i].offset);
        assert_true(table.partitions[i].size == partitions[i].size);
        assert_true(table.partitions[i].attributes == partitions[i].attributes);
        assert_memory_equal(table.partitions[i].guid, partitions[i].guid, GUID_SIZE);
        assert_memory_equal(table.partitions[i].type, gpt_type_linux_generic, GUID_SIZE);
    }
    assert_int_equal(gpt_check_backup(&table, fixture.tail, GPT_TAIL_SIZE, NULL), 0);
}

/* Writes a new value into a table and makes its checksums good again. */
static void forge(uint8_t *header, uint8_t *entries, size_t offset, uint64_t value, unsigned width)
{
    uint8_t *place = offset < 92 ? header + offset : entries + offset - 92;

    for (unsigned i = 0; i < width; i++)
        place[i] = (uint8_t)(i < 8 ? value >> 8 * i : 0);
    uint32_t checksum = checksum_of(entries, 128 * 128);
    if (offset != 88)
        memcpy(header + 88, &checksum, 4); /* little-endian, as every machine this runs on */
    memset(header + 16, 0, 4);
    checksum = checksum_of(header, 92);
    memcpy(header + 16, &checksum, 4);
}

static void assert_invalid(int r, const char *sentence, Error *error)
{
    assert_int_equal(r, -EBADMSG);
    assert_int_equal(error->kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(error), sentence))
        fail_msg("'%s' is not in '%s'", sentence, error_get_message(error));
    error_clear(error);
}

static const GptPartition two[] = {
    { .label = "a", .offset = GPT_PARTITIONS_OFFSET, .size = 4096, .guid = { 1 } },
    { .label = "b", .offset = GPT_PARTITIONS_OFFSET + 4096, .size = 4096, .guid = { 2 } },
};

static void damage_is_named(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;
    static const struct {
        size_t offset; /* in the header; behind its end, in the entries */
        uint64_t value;
        unsigned width;
        const char *sentence;
    } cases[] = {
        { 8, 0x00020000, 4, "unknown revision or size" },
        { 12, 512, 4, "unknown revision or size" },
        { 24, 2, 8, "does not stand where it says" },
        { 32, 1000, 8, "the other one is outside the disk" },
        { 32, UINT64_MAX, 8, "the other one is outside the disk" },
        { 40, 2, 8, "impossible range" },
        { 40, 967, 8, "impossible range" },
        { 48, 1000, 8, "impossible range" },
        { 48, UINT64_MAX, 8, "impossible range" },
        { 72, 1, 8, "entries at an unusual place" },
        { 72, 9, 8, "entries at an unusual place" },
        { 72, UINT64_MAX, 8, "entries at an unusual place" },
        { 80, 0, 4, "has not 1 to 128 entries" },
        { 80, 129, 4, "has not 1 to 128 entries" },
        { 80, UINT32_MAX, 4, "has not 1 to 128 entries" },
        { 84, 256, 4, "has not 1 to 128 entries" },
        { 88, 7, 4, "wrong checksum of its entries" },
        { 92 + 32, 39, 8, "'a' has the sectors 39 to 47" },
        { 92 + 40, 39, 8, "'a' has the sectors 40 to 39" },
        { 92 + 40, 967, 8, "'a' has the sectors 40 to 967" },
        { 92 + 40, UINT64_MAX, 8, "'a' has the sectors 40 to 18446744073709551615" },
        { 92 + 40, 48, 8, "the partitions 'a' and 'b' overlap" },
        { 92 + 16 + 3, 2, 1, "have the same GUID" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        encode(&fixture, SECTORS, two, 2);
        forge(fixture.head + 512, fixture.head + 1024, cases[i].offset, cases[i].value,
              cases[i].width);
        assert_invalid(
            gpt_decode(fixture.head, GPT_PARTITIONS_OFFSET, SECTORS * 512, &table, &error),
            cases[i].sentence, &error);
    }
}

static void every_byte_of_header_and_entries_is_covered(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;

    for (size_t i = 0; i < 92 + 2 * 128; i++) {
        encode(&fixture, SECTORS, two, 2);
        fixture.head[i < 92 ? 512 + i : 1024 + i - 92] ^= 0x10;
        int r = gpt_decode(fixture.head, GPT_PARTITIONS_OFFSET, SECTORS * 512, &table, NULL);
        /* Without its signature it is no table at all. The four reserved bytes count, too. */
        assert_int_equal(r, i < 8 ? -ENODATA : -EBADMSG);
    }
}

static void a_backup_that_differs_is_named(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;
    uint8_t *header = fixture.tail + GPT_TAIL_SIZE - 512;
    uint8_t *entries = header - 128 * 128;
    static const struct {
        size_t offset;
        uint64_t value;
        unsigned width;
        const char *sentence;
    } cases[] = {
        { 0, 'x', 1, "the backup partition table is not there" },
        { 24, 1, 8, "does not stand where it says" },
        { 32, 2, 8, "does not stand where it says" },
        { 72, 2, 8, "names the primary's, as crosvm writes it" },
        { 72, SECTORS - 31, 8, "at an unusual place" },
        { 72, 900, 8, "at an unusual place" },
        { 72, UINT64_MAX, 8, "at an unusual place" },
        { 88, 7, 4, "wrong checksum of its entries" },
        { 56, 7, 1, "is another one than the primary" },
        { 92 + 56, 'c', 1, "is another one than the primary" },
        { 92 + 48, 1, 1, "is another one than the primary" },
        { 92 + 128, 0, 16, "is another one than the primary" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        encode(&fixture, SECTORS, two, 2);
        assert_int_equal(
            gpt_decode(fixture.head, GPT_PARTITIONS_OFFSET, SECTORS * 512, &table, NULL), 0);
        forge(header, entries, cases[i].offset, cases[i].value, cases[i].width);
        assert_invalid(gpt_check_backup(&table, fixture.tail, GPT_TAIL_SIZE, &error),
                       cases[i].sentence, &error);
    }
}

static void too_few_bytes_are_no_table(void **state)
{
    (void)state;
    static Fixture fixture;
    static GptTable table;

    encode(&fixture, SECTORS, two, 2);
    assert_int_equal(gpt_decode(fixture.head, 0, 0, &table, NULL), -ENODATA);
    assert_int_equal(gpt_decode(fixture.head, 1023, SECTORS * 512, &table, NULL), -ENODATA);
    assert_int_equal(gpt_decode(fixture.head, 1024, SECTORS * 512, &table, NULL), -EBADMSG);
    assert_int_equal(gpt_decode(fixture.head, 17407, SECTORS * 512, &table, NULL), -EBADMSG);
    assert_int_equal(gpt_decode(fixture.head, 17408, SECTORS * 512, &table, NULL), 0);
    assert_int_equal(gpt_check_backup(&table, fixture.tail, 0, NULL), -EBADMSG);
    assert_int_equal(gpt_check_backup(&table, fixture.tail + GPT_TAIL_SIZE - 512, 512, NULL),
                     -EBADMSG);
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
        cmocka_unit_test(a_disk_of_4096_byte_sectors_has_its_table_in_that_unit),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(every_byte_of_header_and_entries_is_covered),
        cmocka_unit_test(a_backup_that_differs_is_named),
        cmocka_unit_test(too_few_bytes_are_no_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
