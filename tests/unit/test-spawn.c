/* SPDX-License-Identifier: Apache-2.0 */
#include "common/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

/* What the shell script writes to its descriptor 3, and its exit status. */
static int run(const char *script, char *output, size_t capacity)
{
    char *const arguments[] = { (char[]){ "sh" }, (char[]){ "-c" }, strdup(script), NULL };
    int ends[2], status;
    size_t size = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(spawn_program("/bin/sh", arguments, ends[1], &pid), 0);
    (void)fd_close(ends[1]);
    while ((n = read(ends[0], output + size, capacity - 1 - size)) > 0)
        size += (size_t)n;
    output[size] = '\0';
    (void)fd_close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    free(arguments[2]);
    return WEXITSTATUS(status);
}

static void program_has_its_descriptor_and_no_other(void **state)
{
    char output[256];
    _cleanup_close_ int inherited = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

    (void)state;
    assert_true(inherited > STDERR_FILENO);
    /* The glob's own directory descriptor is closed again by the time the names are looked at. */
    assert_int_equal(run("for fd in /proc/$$/fd/*; do [ ! -e $fd ] || echo ${fd##*/} >&3; done",
                         output, sizeof(output)),
                     0);
    assert_non_null(strstr(output, "3\n"));
    assert_null(strstr(output, "4\n"));
    assert_null(strstr(output, "5\n"));
}

static void program_has_a_session_and_default_signals(void **state)
{
    char output[256];

    (void)state;
    /* Field 6 of stat is the session, whose leader it is. No grep: a shell that waits for a child
     * blocks signals. glibc's posix_spawn() leaves its own signals 32 and 33 ignored. */
    assert_int_equal(
        run("read -r pid name st ppid pgrp session rest </proc/$$/stat; "
            "[ $session = $$ ] || exit 1; "
            "while read -r key value rest; do case $key$value in "
            "SigBlk:0000000000000000|SigIgn:0000000180000000|SigIgn:0000000000000000) echo $key >&3;; "
            "esac; done </proc/$$/status",
            output, sizeof(output)),
        0);
    assert_string_equal(output, "SigBlk:\nSigIgn:\n");
}

static void missing_program_is_an_error(void **state)
{
    char *const arguments[] = { (char[]){ "x" }, NULL };
    pid_t pid;

    (void)state;
    assert_int_equal(spawn_program("/nonexistent", arguments, STDIN_FILENO, &pid), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_has_its_descriptor_and_no_other),
        cmocka_unit_test(program_has_a_session_and_default_signals),
        cmocka_unit_test(missing_program_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
