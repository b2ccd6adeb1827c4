/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/kernel-command-line.h"

#include "tests/helpers/test.h"

static void word_is_found_anywhere_in_the_line(void **state)
{
    (void)state;
    assert_true(kernel_command_line_has("debug=1", "debug=1"));
    assert_true(kernel_command_line_has("debug=1 quiet\n", "debug=1"));
    assert_true(kernel_command_line_has("quiet\tdebug=1\n", "debug=1"));
    assert_true(kernel_command_line_has("  a  debug=1  b", "debug=1"));
}

static void part_of_a_word_is_not_the_word(void **state)
{
    (void)state;
    assert_false(kernel_command_line_has("", "debug=1"));
    assert_false(kernel_command_line_has("debug=10", "debug=1"));
    assert_false(kernel_command_line_has("xdebug=1", "debug=1"));
    assert_false(kernel_command_line_has("debug= 1", "debug=1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_is_found_anywhere_in_the_line),
        cmocka_unit_test(part_of_a_word_is_not_the_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
