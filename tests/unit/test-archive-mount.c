/* SPDX-License-Identifier: Apache-2.0 */
/* What the pipe to zipfuse says; mounting needs a guest. */
#include "guest/archive-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

/* Waits for what the other end of the pipe has in it; it stays open if @stays_open. */
static int wait_with(const char *bytes, bool stays_open, int msec, Error *error)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    _cleanup_close_ int writer = fds[1];
    assert_int_equal(fd_write_all(writer, bytes, strlen(bytes)), 0);
    if (!stays_open)
        writer = fd_close(writer);
    ArchiveMount mount = { .ready_fd = fds[0] };
    int r = archive_mount_wait(&mount, deadline_in_msec(msec), error);
    assert_true(mount.ready_fd < 0);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    return r;
}

static void a_byte_says_that_the_archive_is_served(void **state)
{
    (void)state;

    assert_int_equal(wait_with("1", true, 60000, NULL), 0);
    assert_int_equal(wait_with("1", false, 60000, NULL), 0);
}

static void a_server_that_gives_up_is_the_archives_fault(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(wait_with("", false, 60000, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    assert_string_equal(error_get_message(&error), "zipfuse cannot read the archive");
}

static void a_server_that_says_nothing_is_not(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(wait_with("", true, 0, &error), -ETIMEDOUT);
    assert_int_equal(error.kind, ERROR_FAILED);
    assert_non_null(strstr(error_get_message(&error), "zipfuse does not serve the archive"));
}

static void a_device_that_is_not_there_is_named(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ArchiveMount mount = { .pid = -1, .ready_fd = -EBADF };

    assert_int_equal(archive_mount_start("/nowhere/vda1", "/nowhere", 0, &mount, &error), -ENOENT);
    assert_non_null(strstr(error_get_message(&error), "cannot open /nowhere/vda1"));
    assert_int_equal(mount.pid, -1);
    assert_int_equal(mount.ready_fd, -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_says_that_the_archive_is_served),
        cmocka_unit_test(a_server_that_gives_up_is_the_archives_fault),
        cmocka_unit_test(a_server_that_says_nothing_is_not),
        cmocka_unit_test(a_device_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
