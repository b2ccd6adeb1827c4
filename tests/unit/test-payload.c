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

/* All that the payload prints to its end. */
static void read_output(int fd, char *ret_text, size_t size)
{
    Deadline deadline = deadline_in_msec(TIMEOUT_MSEC);
    size_t length = 0;
    ssize_t n;

    do {
        assert_int_equal(deadline_wait_for_fd(deadline, fd, POLLIN), 0);
        n = read(fd, ret_text + length, size - 1 - length);
        assert_true(n >= 0);
        length += (size_t)n;
    } while (n > 0);
    ret_text[length] = '\0';
}

/* Runs a payload whose output and exit code are to be these. */
static void expect_output(const PayloadOptions *options, const char *expected, int exit_code)
{
    _cleanup_close_ int fd = -EBADF;
    char text[256];
    int status;
    pid_t pid;

    assert_int_equal(payload_spawn(options, &pid, &fd, NULL), 0);
    read_output(fd, text, sizeof(text));
    assert_string_equal(text, expected);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, W_EXITCODE(exit_code, 0));
}

static void payload_runs_in_its_directory_and_prints_to_the_pipe(void **state)
{
    const PayloadOptions options = {
        .path = "/bin/pwd", .directory = "/dev", .ready_socket = "/x", .privileged = true
    };

    (void)state;
    expect_output(&options, "/dev\n", 0);
}

static void payload_has_its_arguments_and_environment(void **state)
{
    static const char *const arguments[] = {
        "launcher", "-c",   "echo $0 $1; echo $LD_LIBRARY_PATH; echo $VIRTUALIZATIOND_READY_SOCKET",
        "lib",      "more", NULL
    };
    PayloadOptions options = { .path = "/bin/sh",
                               .arguments = arguments,
                               .directory = "/",
                               .ready_socket = "/x",
                               .library_path = "/mnt/apk/lib/x86_64",
                               .privileged = true };

    (void)state;
    expect_output(&options, "lib more\n/mnt/apk/lib/x86_64\n/x\n", 0);
    options.library_path = NULL;
    expect_output(&options, "lib more\n\n/x\n", 0);
}

static void payload_is_confined(void **state)
{
    static const char *const arguments[] = {
        "sh", "-c",
        "id -u; ulimit -c; grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status", NULL
    };
    const PayloadOptions options = {
        .path = "/bin/sh", .arguments = arguments, .directory = "/", .ready_socket = "/x"
    };

    (void)state;
    if (geteuid() != 0)
        skip();
    expect_output(&options,
                  "6000\n0\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
                  "NoNewPrivs:\t1\nSeccomp:\t2\n",
                  0);
}

static void payload_without_its_cgroup_does_not_run(void **state)
{
    const PayloadOptions options = { .path = "/bin/true",
                                     .directory = "/",
                                     .ready_socket = "/x",
                                     .cgroup = "/nowhere",
                                     .privileged = true };
    int fd = -EBADF;
    pid_t pid;

    (void)state;
    assert_int_equal(payload_spawn(&options, &pid, &fd, NULL), -ENOENT);
    assert_int_equal(fd, -EBADF);
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
        cmocka_unit_test(payload_has_its_arguments_and_environment),
        cmocka_unit_test(payload_is_confined),
        cmocka_unit_test(payload_without_its_cgroup_does_not_run),
        cmocka_unit_test(payload_that_cannot_be_executed_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
