/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/partition-image.h"
#include "tests/helpers/test.h"

static void types_have_names(void **state)
{
    PartitionType type;

    (void)state;
    for (unsigned i = 0; i < PARTITION_TYPE_MAX; i++) {
        assert_int_equal(partition_type_from_string(partition_type_to_string(i), &type), 0);
        assert_int_equal(type, i);
    }
    assert_int_equal(partition_type_from_string("qcow2", &type), -EINVAL);
    assert_int_equal(partition_type_from_string("", &type), -EINVAL);
}

static void instance_begins_with_magic_and_version(void **state)
{
    uint8_t header[PARTITION_IMAGE_HEADER_MAX];
    uint8_t expected[PARTITION_IMAGE_HEADER_MAX] = "Android-VM-instance\1";

    (void)state;
    memset(header, 0xff, sizeof(header));
    assert_int_equal(partition_image_make_header(PARTITION_ANDROID_VM_INSTANCE, header), 512);
    assert_memory_equal(header, expected, sizeof(expected));
}

static void encryptedstore_begins_with_its_mark(void **state)
{
    uint8_t header[PARTITION_IMAGE_HEADER_MAX];

    (void)state;
    assert_int_equal(partition_image_make_header(PARTITION_ENCRYPTEDSTORE, header), 19);
    assert_memory_equal(header, "UNFORMATTED-STORAGE", 19);
    assert_int_equal(partition_image_make_header(PARTITION_RAW, header), 0);
}

static void sizes_are_rounded_up_to_whole_blocks(void **state)
{
    static const struct {
        uint64_t size;
        int result;
        uint64_t rounded;
    } cases[] = {
        { 0, -EINVAL, 0 },
        { 1, 0, 4096 },
        { 4096, 0, 4096 },
        { 4097, 0, 8192 },
        { INT64_MAX - 4095, 0, INT64_MAX - 4095 },
        { INT64_MAX - 4094, -EFBIG, 0 },
        { UINT64_MAX, -EFBIG, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        uint64_t rounded = 0;

        assert_int_equal(partition_image_round_size(cases[i].size, &rounded), cases[i].result);
        assert_true(rounded == cases[i].rounded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(instance_begins_with_magic_and_version),
        cmocka_unit_test(encryptedstore_begins_with_its_mark),
        cmocka_unit_test(sizes_are_rounded_up_to_whole_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
