/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/region-table.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

static const Region disk[] = {
    { .file = "head", .size = 20480 },
    { .label = "a", .file = "a b.img", .file_offset = 512, .size = UINT64_C(1) << 60 },
    { .file = "tail", .size = 20480 },
};

static void a_vmdk_names_each_piece_in_sectors(void **state)
{
    (void)state;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    assert_int_equal(region_table_to_vmdk(disk, 3, &text, &size, NULL), 0);
    assert_int_equal(size, strlen(text));
    assert_non_null(strstr(text, "\ncreateType=\"twoGbMaxExtentFlat\"\nRW 40 FLAT \"head\" 0\n"
                                 "RW 2251799813685248 FLAT \"a b.img\" 1\n"
                                 "RW 40 FLAT \"tail\" 0\nddb."));
    assert_memory_equal(text, "# Disk DescriptorFile\n", 22);
}

static void a_device_mapper_table_says_where_pieces_begin(void **state)
{
    (void)state;
    const Region regions[] = { { .file = "/dev/loop0", .size = 1024 },
                               { .file = "7:1", .file_offset = 1536, .size = 512 } };
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    assert_int_equal(region_table_to_device_mapper(regions, 2, &text, &size, NULL), 0);
    assert_string_equal(text, "0 2 linear /dev/loop0 0\n2 1 linear 7:1 3\n");
    assert_int_equal(size, strlen(text));
}

static void assert_refused(int r, const char *reason, Error *error)
{
    assert_int_equal(r, -EOPNOTSUPP);
    if (!strstr(error_get_message(error), reason))
        fail_msg("'%s' is not in '%s'", reason, error_get_message(error));
    error_clear(error);
}

static void what_a_language_cannot_say_is_refused_by_label(void **state)
{
    (void)state;
    static char name[REGION_FILE_NAME_MAX + 2];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    static const struct {
        Region region;
        const char *reason;
    } cases[] = {
        { { .label = "a", .file = "f", .size = 513 }, "('a') is not made of whole sectors" },
        { { .label = "a", .file = "f", .size = 0 }, "('a') is not made of whole sectors" },
        { { .file = "f", .size = 512, .file_offset = 1 }, "not made of whole sectors" },
        { { .label = "a", .file = "x\"y", .size = 512 }, "quotation mark" },
        { { .label = "a", .file = "x\ny", .size = 512 }, "control character" },
        { { .label = "a", .file = name, .size = 512 }, "longer than 511 bytes" },
    };
    char *text = NULL;
    size_t size;

    memset(name, 'n', REGION_FILE_NAME_MAX + 1);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        assert_refused(region_table_to_vmdk(&cases[i].region, 1, &text, &size, &error),
                       cases[i].reason, &error);
        assert_refused(region_table_to_device_mapper(&cases[i].region, 1, &text, &size, &error),
                       cases[i].reason, &error);
    }
    assert_refused(region_table_to_device_mapper(disk, 3, &text, &size, &error), "has a space",
                   &error);
    assert_null(text);
    name[REGION_FILE_NAME_MAX] = '\0';
    assert_int_equal(region_table_to_vmdk(&cases[5].region, 1, &text, &size, NULL), 0);
    free(text);
}

static void a_vmdk_does_not_mix_modes_of_partitions(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Region regions[] = { { .file = "head", .size = 512 },
                         { .label = "a", .file = "a", .size = 512, .writable = true },
                         { .label = "b", .file = "b", .size = 512 } };
    _cleanup_free_ char *text = NULL, *other = NULL;
    size_t size;

    assert_refused(region_table_to_vmdk(regions, 3, &text, &size, &error),
                   "partition 'a' is writable and 'b' is read-only", &error);
    assert_int_equal(region_table_to_device_mapper(regions, 3, &other, &size, NULL), 0);
    regions[2].writable = true;
    assert_int_equal(region_table_to_vmdk(regions, 3, &text, &size, NULL), 0);
}

static void a_vmdk_is_no_larger_than_qemu_reads(void **state)
{
    (void)state;
    enum {
        N = 2100
    };
    static char name[REGION_FILE_NAME_MAX + 1];
    _cleanup_free_ Region *regions = calloc(N, sizeof(*regions));
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char *text = NULL;
    size_t size;

    memset(name, 'n', REGION_FILE_NAME_MAX);
    for (size_t i = 0; i < N; i++)
        regions[i] = (Region){ .file = name, .size = 512 };
    assert_refused(region_table_to_vmdk(regions, N, &text, &size, &error),
                   "QEMU reads at most 1048576", &error);
    assert_int_equal(region_table_to_vmdk(regions, 1900, &text, &size, NULL), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vmdk_names_each_piece_in_sectors),
        cmocka_unit_test(a_device_mapper_table_says_where_pieces_begin),
        cmocka_unit_test(what_a_language_cannot_say_is_refused_by_label),
        cmocka_unit_test(a_vmdk_does_not_mix_modes_of_partitions),
        cmocka_unit_test(a_vmdk_is_no_larger_than_qemu_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
