/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/modules.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static void modules_come_in_the_order_of_the_list(void **state)
{
    const char *cursor = "\nvirtio_ring.ko\n\nloop.ko max_loop=1 x=2\nlast.ko";
    Module module;

    (void)state;
    assert_int_equal(modules_next(&cursor, &module), 1);
    assert_string_equal(module.name, "virtio_ring.ko");
    assert_string_equal(module.options, "");
    assert_int_equal(modules_next(&cursor, &module), 1);
    assert_string_equal(module.name, "loop.ko");
    assert_string_equal(module.options, "max_loop=1 x=2");
    assert_int_equal(modules_next(&cursor, &module), 1);
    assert_string_equal(module.name, "last.ko");
    assert_string_equal(module.options, "");
    assert_int_equal(modules_next(&cursor, &module), 0);
    assert_int_equal(modules_next(&cursor, &module), 0);
}

static void name_that_leaves_the_directory_is_refused(void **state)
{
    Module module;

    (void)state;
    assert_int_equal(modules_next(&(const char *){ "../x.ko\n" }, &module), -EBADMSG);
    assert_int_equal(modules_next(&(const char *){ "net/x.ko\n" }, &module), -EBADMSG);
    assert_int_equal(modules_next(&(const char *){ " x.ko\n" }, &module), -EBADMSG);
    assert_int_equal(modules_next(&(const char *){ "x.ko path=/x\n" }, &module), 1);
}

static void name_and_options_may_have_the_largest_size_and_no_more(void **state)
{
    char list[MODULE_NAME_MAX + 1 + MODULE_OPTIONS_MAX + 2] = { 0 };
    Module module;

    (void)state;
    memset(list, 'm', MODULE_NAME_MAX);
    list[MODULE_NAME_MAX] = ' ';
    memset(list + MODULE_NAME_MAX + 1, 'o', MODULE_OPTIONS_MAX);
    assert_int_equal(modules_next(&(const char *){ list }, &module), 1);
    assert_int_equal(strlen(module.name), MODULE_NAME_MAX);
    assert_string_equal(module.options, list + MODULE_NAME_MAX + 1);
    list[MODULE_NAME_MAX + 1 + MODULE_OPTIONS_MAX] = 'o';
    assert_int_equal(modules_next(&(const char *){ list }, &module), -EBADMSG);
    memset(list, 'm', MODULE_NAME_MAX + 1);
    assert_int_equal(modules_next(&(const char *){ list }, &module), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_come_in_the_order_of_the_list),
        cmocka_unit_test(name_that_leaves_the_directory_is_refused),
        cmocka_unit_test(name_and_options_may_have_the_largest_size_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
