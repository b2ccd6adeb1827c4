/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/guid.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/gpt-type.h"
#include "tests/helpers/test.h"

static const uint8_t guid[GUID_SIZE] = { 0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72,
                                         0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

static void text_is_in_the_order_of_the_bytes(void **state)
{
    (void)state;
    char text[GUID_STRING_SIZE];
    uint8_t again[GUID_SIZE] = { 0 };

    guid_to_string(guid, text);
    assert_string_equal(text, "0fc63daf-8483-4772-8e79-3d69d8477de4");
    assert_int_equal(guid_from_string(text, again), 0);
    assert_memory_equal(again, guid, GUID_SIZE);
    assert_int_equal(guid_from_string("0FC63DAF-8483-4772-8E79-3D69D8477DE4", again), 0);
    assert_memory_equal(again, guid, GUID_SIZE);
}

static void other_text_is_refused_and_stores_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        "0fc63daf",
        "0fc63daf-8483-4772-8e79-3d69d8477de",
        "0fc63daf-8483-4772-8e79-3d69d8477de45",
        "0fc63daf84834772-8e79-3d69d8477de4--",
        "0fc63dag-8483-4772-8e79-3d69d8477de4",
        "{0fc63daf-8483-4772-8e79-3d69d8477de4}",
        " 0fc63daf-8483-4772-8e79-3d69d8477de4",
        "0fc63daf-8483-4772-8e79-3d69d8477d 4",
    };
    uint8_t untouched[GUID_SIZE] = { 7 };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
        assert_int_equal(guid_from_string(texts[i], untouched), -EINVAL);
    assert_int_equal(untouched[0], 7);
}

static void disks_have_three_groups_little_endian(void **state)
{
    (void)state;
    static const uint8_t on_disk[GUID_SIZE] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                                0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };
    uint8_t swapped[GUID_SIZE];

    guid_swap(guid, swapped);
    assert_memory_equal(swapped, on_disk, GUID_SIZE);
    guid_swap(swapped, swapped);
    assert_memory_equal(swapped, guid, GUID_SIZE);
}

static void random_bytes_become_a_version_4_guid(void **state)
{
    (void)state;
    uint8_t zeros[GUID_SIZE] = { 0 }, ones[GUID_SIZE];

    assert_true(guid_is_nil(zeros));
    guid_from_random(zeros);
    assert_false(guid_is_nil(zeros));
    assert_int_equal(zeros[6], 0x40);
    assert_int_equal(zeros[8], 0x80);
    memset(ones, 0xff, sizeof(ones));
    guid_from_random(ones);
    for (size_t i = 0; i < GUID_SIZE; i++)
        assert_int_equal(ones[i], i == 6 ? 0x4f : i == 8 ? 0xbf : 0xff);
}

static void each_type_has_a_name_and_a_guid_of_its_own(void **state)
{
    (void)state;
    uint8_t type[GUID_SIZE];
    size_t n = 0;

    for (const char *name; (name = gpt_type_get_name(n)); n++) {
        assert_int_equal(gpt_type_from_string(name, type), 0);
        assert_string_equal(gpt_type_to_string(type), name);
    }
    assert_true(n > 20);
    assert_string_equal(gpt_type_to_string(gpt_type_linux_generic), "linux-generic");
    assert_int_equal(gpt_type_from_string("0fc63daf-8483-4772-8e79-3d69d8477de4", type), 0);
    assert_memory_equal(type, gpt_type_linux_generic, GUID_SIZE);
    assert_int_equal(gpt_type_from_string("linux", type), -EINVAL);
    assert_null(gpt_type_to_string((const uint8_t[GUID_SIZE]){ 1 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_in_the_order_of_the_bytes),
        cmocka_unit_test(other_text_is_refused_and_stores_nothing),
        cmocka_unit_test(disks_have_three_groups_little_endian),
        cmocka_unit_test(random_bytes_become_a_version_4_guid),
        cmocka_unit_test(each_type_has_a_name_and_a_guid_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
