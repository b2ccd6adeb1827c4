/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/loop-device.h"

#include <errno.h>

#include "tests/helpers/test.h"

static void part_that_no_device_can_show_is_refused(void **state)
{
    const struct {
        uint64_t offset, size;
    } parts[] = {
        { 0, 0 },
        { 0, 511 },
        { 0, 513 },
        { INT64_MAX - 510, 512 },
        { UINT64_MAX, 512 },
        { UINT64_MAX - 511, 512 },
    };
    char path[DEVICE_PATH_SIZE];
    int fd = -EBADF;

    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        Error error = ERROR_INIT;

        assert_int_equal(
            loop_device_open(-EBADF, parts[i].offset, parts[i].size, path, &fd, &error), -EINVAL);
        assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
        assert_int_equal(fd, -EBADF);
        error_clear(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_that_no_device_can_show_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
