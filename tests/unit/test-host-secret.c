/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/host-secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define N_PROCESSES 8

typedef struct Fixture {
    char directory[64];
    char file[96], state_dir[96], made[128], credentials_dir[96], credential[128];
    HostSecretOptions options;
    HostSecret secret;
    Error error;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    strcpy(fixture->directory, "/tmp/test-host-secret-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    (void)snprintf(fixture->file, sizeof(fixture->file), "%s/file", fixture->directory);
    (void)snprintf(fixture->state_dir, sizeof(fixture->state_dir), "%s/state", fixture->directory);
    (void)snprintf(fixture->made, sizeof(fixture->made), "%s/host-secret", fixture->state_dir);
    (void)snprintf(fixture->credentials_dir, sizeof(fixture->credentials_dir), "%s/credentials",
                   fixture->directory);
    (void)snprintf(fixture->credential, sizeof(fixture->credential), "%s/host-secret",
                   fixture->credentials_dir);
    fixture->options = (HostSecretOptions){ .state_dir = fixture->state_dir };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    char command[128];

    error_clear(&fixture->error);
    (void)snprintf(command, sizeof(command), "rm -r %s", fixture->directory);
    int status = system(command); /* NOLINT(cert-env33-c): the test's own words */
    free(fixture);
    return status;
}

/* A file of @size bytes @value. */
static void make_file(const char *path, size_t size, char value, mode_t mode)
{
    char bytes[HOST_SECRET_SIZE_MAX + 1];

    memset(bytes, value, sizeof(bytes));
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, size), 0);
    assert_int_equal(fchmod(fd, mode), 0);
}

static int read_secret(Fixture *fixture)
{
    error_clear(&fixture->error);
    return host_secret_read(&fixture->options, &fixture->secret, &fixture->error);
}

static void assert_refused(Fixture *fixture, const char *words)
{
    assert_true(read_secret(fixture) < 0);
    assert_int_equal(fixture->error.kind, ERROR_START_FAILED);
    if (!strstr(error_get_message(&fixture->error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(&fixture->error), words);
}

static void named_file_is_read_in_its_range_of_sizes(void **state)
{
    static const struct {
        size_t size;
        bool taken;
    } cases[] = {
        { 0, false }, { 31, false }, { 32, true }, { 64, true }, { 4096, true }, { 4097, false },
    };
    Fixture *fixture = *state;

    fixture->options.file = fixture->file;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        make_file(fixture->file, cases[i].size, 's', 0400);
        if (cases[i].taken) {
            assert_int_equal(read_secret(fixture), 0);
            assert_int_equal(fixture->secret.size, cases[i].size);
            assert_int_equal(fixture->secret.bytes[0], 's');
            assert_int_equal(fixture->secret.bytes[cases[i].size - 1], 's');
        } else {
            assert_refused(fixture, "32 to 4096");
        }
        assert_int_equal(unlink(fixture->file), 0);
    }
    assert_int_equal(access(fixture->state_dir, F_OK), -1); /* nobody has made one */
}

static void file_that_others_could_read_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->options.file = fixture->file;
    for (unsigned bit = 0; bit < 9; bit++) {
        bool others = bit < 6;

        make_file(fixture->file, 64, 's', 0400 | 1U << bit);
        if (others)
            assert_refused(fixture, "chmod 0400");
        else
            assert_int_equal(read_secret(fixture), 0);
        assert_int_equal(unlink(fixture->file), 0);
    }
}

static void file_of_somebody_else_is_refused(void **state)
{
    Fixture *fixture = *state;

    /* Root owns it and only root can say so of another; anybody else has root's to point at. */
    if (geteuid() == 0) {
        make_file(fixture->file, 64, 's', 0400);
        assert_int_equal(chown(fixture->file, 12345, 0), 0);
        fixture->options.file = fixture->file;
        assert_refused(fixture, "has to belong to uid 0");
    } else {
        fixture->options.file = "/etc/passwd";
        assert_refused(fixture, "has to belong to uid");
    }
}

static void what_is_no_regular_file_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->options.file = fixture->file;
    assert_refused(fixture, "there is no host secret");
    assert_int_equal(mkfifo(fixture->file, 0400), 0);
    assert_refused(fixture, "no regular file");
    assert_int_equal(unlink(fixture->file), 0);
    assert_int_equal(mkdir(fixture->file, 0700), 0);
    assert_refused(fixture, "no regular file");
    assert_int_equal(rmdir(fixture->file), 0);

    make_file(fixture->state_dir, 64, 's', 0400);
    assert_int_equal(symlink(fixture->state_dir, fixture->file), 0);
    assert_refused(fixture, "symbolic link");
}

static void secret_is_made_once(void **state)
{
    Fixture *fixture = *state;
    HostSecret first;
    struct stat status;

    assert_int_equal(read_secret(fixture), 0);
    assert_int_equal(fixture->secret.size, HOST_SECRET_NEW_SIZE);
    first = fixture->secret;
    assert_int_equal(stat(fixture->state_dir, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(fixture->made, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0400);
    assert_int_equal(status.st_nlink, 1);

    memset(&fixture->secret, 0, sizeof(fixture->secret));
    assert_int_equal(read_secret(fixture), 0);
    assert_int_equal(fixture->secret.size, first.size);
    assert_memory_equal(fixture->secret.bytes, first.bytes, first.size);

    /* Without it there is another. */
    assert_int_equal(unlink(fixture->made), 0);
    assert_int_equal(read_secret(fixture), 0);
    assert_memory_not_equal(fixture->secret.bytes, first.bytes, first.size);
}

static void one_that_was_not_finished_is_made_anew(void **state)
{
    Fixture *fixture = *state;
    char path[160];

    assert_int_equal(mkdir(fixture->state_dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s.new", fixture->made);
    make_file(path, 10, 'x', 0400);
    assert_int_equal(read_secret(fixture), 0);
    assert_int_equal(fixture->secret.size, HOST_SECRET_NEW_SIZE);
    assert_int_equal(access(path, F_OK), -1);
}

static void state_directory_that_others_could_write_is_refused(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(mkdir(fixture->state_dir, 0700), 0);
    assert_int_equal(chmod(fixture->state_dir, 0720), 0);
    assert_refused(fixture, "writable by nobody else");
    assert_int_equal(chmod(fixture->state_dir, 0702), 0);
    assert_refused(fixture, "writable by nobody else");
    assert_int_equal(chmod(fixture->state_dir, 0755), 0);
    assert_int_equal(read_secret(fixture), 0);

    fixture->options.state_dir = "/nonexistent/state";
    assert_refused(fixture, "cannot make /nonexistent/state");
}

static void credential_comes_before_everything_else(void **state)
{
    Fixture *fixture = *state;

    make_file(fixture->file, 64, 'f', 0400);
    assert_int_equal(mkdir(fixture->credentials_dir, 0700), 0);
    fixture->options.file = fixture->file;
    fixture->options.credentials_dir = fixture->credentials_dir;
    assert_int_equal(read_secret(fixture), 0); /* there are credentials, but not this one */
    assert_int_equal(fixture->secret.bytes[0], 'f');

    make_file(fixture->credential, 64, 'c', 0400);
    assert_int_equal(read_secret(fixture), 0);
    assert_int_equal(fixture->secret.bytes[0], 'c');

    /* One that is not as it has to be is no reason to take another. */
    assert_int_equal(chmod(fixture->credential, 0440), 0);
    assert_refused(fixture, "chmod 0400");
}

static _Noreturn void read_as_another_process(Fixture *fixture, int begin, int report)
{
    char byte;

    /* They all begin at once: with the end of the file. */
    if (read(begin, &byte, 1) != 0 || read_secret(fixture) < 0 ||
        write(report, fixture->secret.bytes, HOST_SECRET_NEW_SIZE) != HOST_SECRET_NEW_SIZE)
        _exit(1);
    _exit(0);
}

static void processes_at_once_agree(void **state)
{
    Fixture *fixture = *state;
    uint8_t secrets[2][HOST_SECRET_NEW_SIZE];
    int begin[2], report[2], status;

    assert_int_equal(pipe2(begin, O_CLOEXEC), 0);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    for (int i = 0; i < N_PROCESSES; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            (void)fd_close(begin[1]);
            read_as_another_process(fixture, begin[0], report[1]);
        }
    }
    (void)fd_close(begin[0]);
    (void)fd_close(begin[1]);
    for (int i = 0; i < N_PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(read(report[0], secrets[i > 0], HOST_SECRET_NEW_SIZE),
                         HOST_SECRET_NEW_SIZE);
        if (i > 0)
            assert_memory_equal(secrets[0], secrets[1], HOST_SECRET_NEW_SIZE);
    }
    (void)fd_close(report[0]);
    (void)fd_close(report[1]);
}

static void wiped_secret_is_gone(void **state)
{
    static const HostSecret nothing;
    Fixture *fixture = *state;

    assert_int_equal(read_secret(fixture), 0);
    host_secret_wipe(&fixture->secret);
    assert_memory_equal(&fixture->secret, &nothing, sizeof(nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(named_file_is_read_in_its_range_of_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(file_that_others_could_read_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(file_of_somebody_else_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(secret_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_not_finished_is_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(state_directory_that_others_could_write_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(credential_comes_before_everything_else, setup, teardown),
        cmocka_unit_test_setup_teardown(processes_at_once_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(wiped_secret_is_gone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
