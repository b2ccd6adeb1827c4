/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/deadline.h"
#include "tests/helpers/test.h"

#define TIMEOUT_MSEC 10000

static void exit_is_reported_as_finished(void **state)
{
    GuestCall call;

    (void)state;
    payload_describe_end(W_EXITCODE(0, 0), &call);
    assert_int_equal(call.type, GUEST_CALL_PAYLOAD_FINISHED);
    assert_int_equal(call.exit_code, 0);
    payload_describe_end(W_EXITCODE(255, 0), &call);
    assert_int_equal(call.type, GUEST_CALL_PAYLOAD_FINISHED);
    assert_int_equal(call.exit_code, 255);
}

static void death_by_signal_is_reported_as_error(void **state)
{
    GuestCall call;

    (void)state;
    payload_describe_end(W_EXITCODE(0, SIGSEGV), &call);
    assert_int_equal(call.type, GUEST_CALL_ERROR);
    assert_int_equal(call.error_code, GUEST_ERROR_UNKNOWN);
    assert_int_equal(call.signal, SIGSEGV);
    assert_string_equal(call.message, "payload was killed by signal 11 (Segmentation fault)");

    payload_describe_end(W_EXITCODE(0, SIGABRT | WCOREFLAG), &call);
    assert_int_equal(call.signal, SIGABRT);
    assert_string_equal(call.message, "payload was killed by signal 6 (Aborted)");

    payload_describe_end(W_EXITCODE(0, 40), &call);
    assert_string_equal(call.message, "payload was killed by signal 40 (real-time signal)");
}

static void payload_runs_in_its_directory_and_prints_to_the_pipe(void **state)
{
    const PayloadOptions options = {
        .path = "/bin/pwd", .directory = "/dev", .ready_socket = "/x", .privileged = true
    };
    Deadline deadline = deadline_in_msec(TIMEOUT_MSEC);
    _cleanup_close_ int fd = -EBADF;
    char text[64] = { 0 };
    size_t size = 0;
    int status;
    pid_t pid;
    ssize_t n;

    (void)state;
    assert_int_equal(payload_spawn(&options, &pid, &fd, NULL), 0);
    do {
        assert_int_equal(deadline_wait_for_fd(deadline, fd, POLLIN), 0);
        n = read(fd, text + size, sizeof(text) - 1 - size);
        assert_true(n >= 0);
        size += (size_t)n;
    } while (n > 0);
    assert_string_equal(text, "/dev\n");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void payload_that_cannot_be_executed_is_an_error(void **state)
{
    const PayloadOptions options = {
        .path = "/dev/null/x", .directory = "/", .ready_socket = "/x", .privileged = true
    };
    Error error = ERROR_INIT;
    int fd = -EBADF;
    pid_t pid = 0;

    (void)state;
    assert_int_equal(payload_spawn(&options, &pid, &fd, &error), -ENOTDIR);
    assert_string_equal(error_get_message(&error), "cannot execute the payload: Not a directory");
    assert_int_equal(fd, -EBADF);
    assert_int_equal(pid, 0);
    error_clear(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_is_reported_as_finished),
        cmocka_unit_test(death_by_signal_is_reported_as_error),
        cmocka_unit_test(payload_runs_in_its_directory_and_prints_to_the_pipe),
        cmocka_unit_test(payload_that_cannot_be_executed_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
