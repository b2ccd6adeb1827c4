/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/helpers/test.h"

static void arguments_are_taken_up_to_the_maximum(void **state)
{
    (void)state;
    static VmmCommand command;

    for (size_t i = 0; i < VMM_ARGS_MAX; i++)
        assert_int_equal(vmm_command_add(&command, "%s=%zu", "argument", i), 0);
    assert_int_equal(vmm_command_add(&command, "one more"), -E2BIG);
    assert_int_equal(command.n_args, VMM_ARGS_MAX);
    assert_string_equal(command.argv[1], "argument=1");
    assert_null(command.argv[VMM_ARGS_MAX]);
    vmm_command_deinit(&command);
    vmm_command_deinit(&command);
}

static void descriptors_are_taken_up_to_the_maximum(void **state)
{
    (void)state;
    static VmmCommand command;
    int number = -1;
    int fd = memfd_create("x", MFD_CLOEXEC);

    for (int i = 0; i < VMM_FDS_MAX; i++) {
        assert_int_equal(vmm_command_take_fd(&command, -EBADF, &number), 0);
        assert_int_equal(number, VMM_FIRST_FD + i);
    }
    assert_int_equal(vmm_command_take_fd(&command, fd, &number), -E2BIG);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed all the same */
    assert_int_equal(number, VMM_FIRST_FD + VMM_FDS_MAX - 1);
    vmm_command_deinit(&command);
}

static void command_owns_its_descriptors(void **state)
{
    (void)state;
    static VmmCommand command;
    int number, fd = memfd_create("x", MFD_CLOEXEC);

    assert_int_equal(vmm_command_take_fd(&command, fd, &number), 0);
    vmm_command_deinit(&command);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_taken_up_to_the_maximum),
        cmocka_unit_test(descriptors_are_taken_up_to_the_maximum),
        cmocka_unit_test(command_owns_its_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
