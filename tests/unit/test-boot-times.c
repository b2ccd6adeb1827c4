/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/boot-times.h"

#include <string.h>

#include "tests/helpers/test.h"

static void steps_are_in_order_and_only_those_that_there_were(void **state)
{
    BootTimes times = { .usec = { [BOOT_STEP_PAYLOAD] = 3000000,
                                  [BOOT_STEP_KERNEL] = 1000001,
                                  [BOOT_STEP_SECRETS] = 2 } };
    char text[BOOT_TIMES_TEXT_MAX];

    (void)state;
    boot_times_format(&times, text);
    assert_string_equal(text, "kernel=1000001 secrets=2 payload=3000000");
    boot_times_format(&(BootTimes){ { 0 } }, text);
    assert_string_equal(text, "");
}

static void all_steps_fit_with_the_largest_times(void **state)
{
    char text[BOOT_TIMES_TEXT_MAX];
    BootTimes times;
    size_t n = 1;

    (void)state;
    memset(&times, 0xff, sizeof(times));
    boot_times_format(&times, text);
    for (const char *space = text; (space = strchr(space, ' ')); space++)
        n++;
    assert_int_equal(n, BOOT_STEP_MAX);
}

static void marks_grow(void **state)
{
    BootTimes times = { { 0 } };

    (void)state;
    boot_times_mark(&times, BOOT_STEP_KERNEL);
    boot_times_mark(&times, BOOT_STEP_MODULES);
    assert_true(times.usec[BOOT_STEP_KERNEL] > 0);
    assert_true(times.usec[BOOT_STEP_MODULES] >= times.usec[BOOT_STEP_KERNEL]);
    assert_int_equal(times.usec[BOOT_STEP_VBMETA], 0);
}

static void merging_takes_what_is_not_there(void **state)
{
    BootTimes times = { .usec = { [BOOT_STEP_MANAGER] = 5 } };
    const BootTimes other = { .usec = { [BOOT_STEP_KERNEL] = 3, [BOOT_STEP_MANAGER] = 4 } };

    (void)state;
    boot_times_merge(&times, &other);
    assert_int_equal(times.usec[BOOT_STEP_KERNEL], 3);
    assert_int_equal(times.usec[BOOT_STEP_MANAGER], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_in_order_and_only_those_that_there_were),
        cmocka_unit_test(all_steps_fit_with_the_largest_times),
        cmocka_unit_test(marks_grow),
        cmocka_unit_test(merging_takes_what_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
