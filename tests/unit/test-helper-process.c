/* SPDX-License-Identifier: Apache-2.0 */
/* This program itself is the helper: it looks at what it was started with and exits with 0 or the
 * line of what does not hold. The privileges are dropped where there are any; here that is noted.
 */
#include "guest/helper-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/drop-privileges.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

#define HELPER "--helper" /* and the numbers: two that are open, one that is not */
#define UID    6001

#define HOLDS(condition)            \
    do {                            \
        if (!(condition))           \
            return __LINE__ & 0xff; \
    } while (false)

int __wrap_drop_privileges(uid_t uid, gid_t gid);

static struct {
    int note_fd;
    int result;
} drop = { -EBADF, 0 };

int __wrap_drop_privileges(uid_t uid, gid_t gid)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "%u %u", uid, gid);

    (void)fd_write_all(drop.note_fd, text, (size_t)size);
    return drop.result;
}

static bool is_null_device(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3) &&
           fd_get_access_mode(fd) == O_RDWR;
}

static int be_helper(char **numbers)
{
    sigset_t signals;
    int first = atoi(numbers[0]), second = atoi(numbers[1]), other = atoi(numbers[2]);

    HOLDS(!environ || !environ[0]);
    HOLDS(is_null_device(STDIN_FILENO) && is_null_device(STDOUT_FILENO));
    HOLDS(fcntl(STDERR_FILENO, F_GETFD) >= 0);
    HOLDS(getsid(0) == getpid());
    HOLDS(sigprocmask(SIG_SETMASK, NULL, &signals) == 0);
    for (int number = 1; number < 32; number++)
        HOLDS(sigismember(&signals, number) == 0);
    HOLDS(write(first, "1", 1) == 1);
    HOLDS(write(second, "2", 1) == 1);
    HOLDS(fcntl(other, F_GETFD) < 0 && errno == EBADF);
    return 0;
}

typedef struct Pipe {
    int reader, writer;
} Pipe;

static Pipe make_pipe(void)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    return (Pipe){ fds[0], fds[1] };
}

/* What was written, once no writer is left. */
static void assert_read(Pipe *made, const char *expected)
{
    char text[128];
    size_t size = 0;
    ssize_t n;

    made->writer = fd_close(made->writer);
    while ((n = read(made->reader, text + size, sizeof(text) - 1 - size)) > 0)
        size += (size_t)n;
    text[size] = '\0';
    assert_string_equal(text, expected);
    made->reader = fd_close(made->reader);
}

static int wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

typedef struct Start {
    const char *program;
    Pipe first, second, other, note;
    pid_t pid;
} Start;

static void start(Start *helper, const char *program)
{
    char path[64], word[] = HELPER, numbers[3][16];
    char *const arguments[] = { path, word, numbers[0], numbers[1], numbers[2], NULL };

    *helper = (Start){ .first = make_pipe(), .second = make_pipe() };
    helper->other = make_pipe();
    helper->note = make_pipe();
    const int fds[] = { helper->first.writer, helper->second.writer };
    (void)snprintf(path, sizeof(path), "%s", program);
    (void)snprintf(numbers[0], sizeof(numbers[0]), "%d", fds[0]);
    (void)snprintf(numbers[1], sizeof(numbers[1]), "%d", fds[1]);
    (void)snprintf(numbers[2], sizeof(numbers[2]), "%d", helper->other.writer);
    drop.note_fd = helper->note.writer;
    const HelperOptions options = {
        .arguments = arguments, .uid = UID, .fds = fds, .n_fds = ELEMENTS_OF(fds)
    };
    assert_int_equal(helper_spawn(&options, &helper->pid), 0);
    /* Lent: they are as they were. */
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
}

static void finish(Start *helper, int code, const char *first, const char *second)
{
    assert_int_equal(wait_for(helper->pid), code);
    assert_read(&helper->first, first);
    assert_read(&helper->second, second);
    assert_read(&helper->other, "");
    assert_read(&helper->note, "6001 6001");
    drop.result = 0;
}

static void a_helper_has_what_it_is_given_and_nothing_else(void **state)
{
    (void)state;
    sigset_t all, before;
    Start helper;

    assert_int_equal(setenv("A_SECRET", "of the caller's", 1), 0);
    assert_int_equal(sigfillset(&all), 0);
    assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
    start(&helper, "/proc/self/exe");
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    finish(&helper, 0, "1", "2");
}

static void a_program_that_cannot_be_executed_exits_with_127(void **state)
{
    (void)state;
    Start helper;

    start(&helper, "/nowhere/helper");
    finish(&helper, 127, "", "");
}

static void no_program_runs_with_privileges(void **state)
{
    (void)state;
    Start helper;

    drop.result = -EPERM;
    start(&helper, "/proc/self/exe");
    finish(&helper, 127, "", "");
}

static void a_descriptor_that_is_not_open_is_not_passed(void **state)
{
    (void)state;
    char path[] = "/proc/self/exe", word[] = HELPER, zero[] = "0";
    char *const arguments[] = { path, word, zero, zero, zero, NULL };
    const int fds[] = { -EBADF };
    pid_t pid;

    assert_int_equal(helper_spawn(&(HelperOptions){ arguments, UID, fds, 1 }, &pid), 0);
    assert_int_equal(wait_for(pid), 127);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helper_has_what_it_is_given_and_nothing_else),
        cmocka_unit_test(a_program_that_cannot_be_executed_exits_with_127),
        cmocka_unit_test(no_program_runs_with_privileges),
        cmocka_unit_test(a_descriptor_that_is_not_open_is_not_passed),
    };

    if (argc == 5 && strcmp(argv[1], HELPER) == 0)
        return be_helper(argv + 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
