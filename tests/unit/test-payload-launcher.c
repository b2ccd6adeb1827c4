/* SPDX-License-Identifier: Apache-2.0 */
/* payload-launcher as a program, with libraries that are good and bad payloads. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#define LAUNCHER "programs/payload-launcher" /* below the working directory of `make check` */

/* Runs the launcher. Returns its exit code; what it prints is in @ret_text. */
static int run_launcher(const char *library, char *ret_text, size_t size)
{
    int text[2], status;
    size_t length = 0;
    ssize_t n;

    assert_int_equal(pipe2(text, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(text[1], STDOUT_FILENO);
        (void)dup2(text[1], STDERR_FILENO);
        (void)execl(LAUNCHER, LAUNCHER, library, NULL);
        _exit(127);
    }
    (void)close(text[1]);
    while ((n = read(text[0], ret_text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    ret_text[length] = '\0';
    (void)close(text[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void result_of_the_payload_is_the_exit_code(void **state)
{
    char text[256];

    (void)state;
    assert_int_equal(run_launcher("programs/payloads/libexit-code.so", text, sizeof(text)), 7);
    assert_string_equal(text, "called\n");
}

static void library_finds_libvmpayload(void **state)
{
    char text[256];

    (void)state;
    (void)setenv("LD_LIBRARY_PATH", ".libs", 1);
    assert_int_equal(run_launcher("programs/payloads/libhello.so", text, sizeof(text)), 0);
    assert_string_equal(text, "Hello from /mnt/apk\n");
}

static void library_that_is_not_there_is_named(void **state)
{
    char text[256];

    (void)state;
    assert_int_equal(run_launcher("/nowhere/lib.so", text, sizeof(text)), 1);
    assert_string_equal(text, "Failed to dlopen /nowhere/lib.so: /nowhere/lib.so: cannot open "
                              "shared object file: No such file or directory\n");
}

static void library_without_entry_is_named(void **state)
{
    char text[256];

    (void)state;
    assert_int_equal(run_launcher("libm.so.6", text, sizeof(text)), 1);
    assert_string_equal(text, "Failed to find entrypoint AVmPayload_main in libm.so.6\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_of_the_payload_is_the_exit_code),
        cmocka_unit_test(library_finds_libvmpayload),
        cmocka_unit_test(library_that_is_not_there_is_named),
        cmocka_unit_test(library_without_entry_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
