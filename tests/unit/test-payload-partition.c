/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-partition.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static const char uevent[] = "MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\nPARTN=1\n"
                             "PARTNAME=payload\n";

static void value_is_found_by_its_key(void **state)
{
    char value[UEVENT_VALUE_MAX + 1];

    (void)state;
    assert_int_equal(uevent_get(uevent, "MAJOR", value), 0);
    assert_string_equal(value, "254");
    assert_int_equal(uevent_get(uevent, "DEVNAME", value), 0);
    assert_string_equal(value, "vda1");
    assert_int_equal(uevent_get(uevent, "PARTNAME", value), 0);
    assert_string_equal(value, "payload");
}

static void part_of_a_key_is_not_the_key(void **state)
{
    char value[UEVENT_VALUE_MAX + 1];

    (void)state;
    assert_int_equal(uevent_get(uevent, "PART", value), -ENOENT);
    assert_int_equal(uevent_get(uevent, "NAME", value), -ENOENT);
    assert_int_equal(uevent_get("PARTNAME", "PARTNAME", value), -ENOENT);
    assert_int_equal(uevent_get("", "PARTNAME", value), -ENOENT);
}

static void value_may_be_empty_or_lack_a_newline(void **state)
{
    char value[UEVENT_VALUE_MAX + 1];

    (void)state;
    assert_int_equal(uevent_get("PARTNAME=\nA=b", "PARTNAME", value), 0);
    assert_string_equal(value, "");
    assert_int_equal(uevent_get("PARTNAME=\nA=b=c", "A", value), 0);
    assert_string_equal(value, "b=c");
}

static void value_may_have_the_largest_size_and_no_more(void **state)
{
    char text[2 + UEVENT_VALUE_MAX + 2] = "A=";
    char value[UEVENT_VALUE_MAX + 1];

    (void)state;
    memset(text + 2, 'x', UEVENT_VALUE_MAX);
    assert_int_equal(uevent_get(text, "A", value), 0);
    assert_int_equal(strlen(value), UEVENT_VALUE_MAX);
    text[2 + UEVENT_VALUE_MAX] = 'x';
    assert_int_equal(uevent_get(text, "A", value), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_is_found_by_its_key),
        cmocka_unit_test(part_of_a_key_is_not_the_key),
        cmocka_unit_test(value_may_be_empty_or_lack_a_newline),
        cmocka_unit_test(value_may_have_the_largest_size_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
