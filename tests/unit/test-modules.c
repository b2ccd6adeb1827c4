/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/modules.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static void names_come_in_the_order_of_the_list(void **state)
{
    const char *cursor = "\nvirtio_ring.ko\n\nvirtio.ko\nlast.ko";
    char name[MODULE_NAME_MAX + 1];

    (void)state;
    assert_int_equal(modules_next_name(&cursor, name), 1);
    assert_string_equal(name, "virtio_ring.ko");
    assert_int_equal(modules_next_name(&cursor, name), 1);
    assert_string_equal(name, "virtio.ko");
    assert_int_equal(modules_next_name(&cursor, name), 1);
    assert_string_equal(name, "last.ko");
    assert_int_equal(modules_next_name(&cursor, name), 0);
    assert_int_equal(modules_next_name(&cursor, name), 0);
}

static void name_that_leaves_the_directory_is_refused(void **state)
{
    char name[MODULE_NAME_MAX + 1];

    (void)state;
    assert_int_equal(modules_next_name(&(const char *){ "../x.ko\n" }, name), -EBADMSG);
    assert_int_equal(modules_next_name(&(const char *){ "net/x.ko\n" }, name), -EBADMSG);
}

static void name_may_have_the_largest_size_and_no_more(void **state)
{
    char list[MODULE_NAME_MAX + 2] = { 0 };
    char name[MODULE_NAME_MAX + 1];

    (void)state;
    memset(list, 'm', MODULE_NAME_MAX);
    assert_int_equal(modules_next_name(&(const char *){ list }, name), 1);
    assert_string_equal(name, list);
    list[MODULE_NAME_MAX] = 'm';
    assert_int_equal(modules_next_name(&(const char *){ list }, name), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_in_the_order_of_the_list),
        cmocka_unit_test(name_that_leaves_the_directory_is_refused),
        cmocka_unit_test(name_may_have_the_largest_size_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
