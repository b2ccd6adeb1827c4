/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/output-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

/* What fails: a file system without unnamed files or renames that replace nothing, or a disk that
 * takes no more. */
static bool no_tmpfile, no_rename_flags;
static int fsyncs_left;

int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __real_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags);
int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_openat(directory, path, flags, mode);
}

int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags)
{
    if (!no_rename_flags || flags == 0)
        return __real_renameat2(from, name, to, new_name, flags);
    errno = EINVAL;
    return -1;
}

int __wrap_fsync(int fd)
{
    if (fsyncs_left-- > 0)
        return __real_fsync(fd);
    errno = ENOSPC;
    return -1;
}

typedef struct Fixture {
    char directory[32];
    char path[64]; /* of the file "out" in there */
} Fixture;

static Fixture fixture;

static int setup(void **state)
{
    (void)state;
    strcpy(fixture.directory, "/tmp/output-file-XXXXXX");
    if (!mkdtemp(fixture.directory))
        return -1;
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/out", fixture.directory);
    no_tmpfile = no_rename_flags = false;
    fsyncs_left = 100;
    return 0;
}

/* How many names there are; each is removed when @clear. */
static unsigned count_names(bool clear)
{
    DIR *directory = opendir(fixture.directory);
    const struct dirent *entry;
    unsigned n = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        if (clear && unlinkat(dirfd(directory), entry->d_name, 0) < 0)
            (void)unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
    }
    closedir(directory);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    (void)count_names(true);
    return rmdir(fixture.directory);
}

static void put(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void assert_content(const char *path, const char *text)
{
    char content[64] = "";
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, content, sizeof(content) - 1) >= 0);
    assert_string_equal(content, text);
}

static void a_file_is_there_once_it_is_committed(void **state)
{
    (void)state;

    for (int i = 0; i < 4; i++) {
        _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
        bool replace = i & 1;

        no_tmpfile = i & 2;
        assert_int_equal(output_file_open(fixture.path, replace, &file, NULL), 0);
        assert_int_equal(fd_write_all(file.fd, "new", 3), 0);
        assert_int_equal(access(fixture.path, F_OK), -1);
        assert_int_equal(count_names(false), no_tmpfile ? 1 : 0);
        assert_int_equal(output_file_commit(&file, NULL), 0);
        assert_content(fixture.path, "new");
        assert_int_equal(count_names(true), 1);
    }
}

static void a_file_that_is_given_up_was_never_there(void **state)
{
    (void)state;

    for (int i = 0; i < 4; i++) {
        OutputFile file = OUTPUT_FILE_INIT;

        no_tmpfile = i & 1;
        fsyncs_left = 0;
        assert_int_equal(output_file_open(fixture.path, false, &file, NULL), 0);
        if (i & 2)
            assert_int_equal(output_file_commit(&file, NULL), -ENOSPC);
        output_file_deinit(&file);
        output_file_deinit(&file);
        assert_int_equal(count_names(true), 0);
    }
}

static void what_is_there_stays_unless_it_is_to_be_replaced(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;

    put(fixture.path, "old");
    assert_int_equal(output_file_open(fixture.path, false, &file, &error), -EEXIST);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_content(fixture.path, "old");

    /* One that comes while the new one is written stays, too. */
    assert_int_equal(unlink(fixture.path), 0);
    for (int i = 0; i < 2; i++) {
        _cleanup_(output_file_deinit) OutputFile late = OUTPUT_FILE_INIT;

        no_tmpfile = i;
        assert_int_equal(output_file_open(fixture.path, false, &late, NULL), 0);
        put(fixture.path, "other's");
        assert_int_equal(output_file_commit(&late, NULL), -EEXIST);
        assert_content(fixture.path, "other's");
        assert_int_equal(unlink(fixture.path), 0);
    }
}

static void a_file_system_with_the_fewest_means_keeps_what_is_there(void **state)
{
    (void)state;
    _cleanup_(output_file_deinit) OutputFile first = OUTPUT_FILE_INIT, second = OUTPUT_FILE_INIT;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    no_tmpfile = no_rename_flags = true;
    assert_int_equal(output_file_open(fixture.path, false, &first, NULL), 0);
    assert_int_equal(output_file_open(fixture.path, false, &second, NULL), 0);
    assert_int_equal(fd_write_all(first.fd, "first", 5), 0);
    assert_int_equal(fd_write_all(second.fd, "second", 6), 0);
    assert_int_equal(output_file_commit(&first, NULL), 0);
    assert_int_equal(output_file_commit(&second, &error), -EEXIST);
    output_file_deinit(&second);
    assert_content(fixture.path, "first");
    assert_int_equal(count_names(false), 1);
}

static void replacing_is_one_step(void **state)
{
    (void)state;
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;

    put(fixture.path, "old");
    assert_int_equal(output_file_open(fixture.path, true, &file, NULL), 0);
    assert_int_equal(fd_write_all(file.fd, "new", 3), 0);
    assert_content(fixture.path, "old");
    fsyncs_left = 0;
    assert_int_equal(output_file_commit(&file, NULL), -ENOSPC);
    assert_content(fixture.path, "old");
    fsyncs_left = 2;
    assert_int_equal(output_file_commit(&file, NULL), 0);
    assert_content(fixture.path, "new");
    assert_int_equal(count_names(false), 1);
}

static void a_link_is_replaced_and_not_followed(void **state)
{
    (void)state;
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    char target[64];

    (void)snprintf(target, sizeof(target), "%s/target", fixture.directory);
    put(target, "precious");
    assert_int_equal(symlink("target", fixture.path), 0);
    assert_int_equal(output_file_open(fixture.path, false, &file, NULL), -EEXIST);
    assert_int_equal(output_file_open(fixture.path, true, &file, NULL), 0);
    assert_int_equal(fd_write_all(file.fd, "new", 3), 0);
    assert_int_equal(output_file_commit(&file, NULL), 0);
    assert_content(fixture.path, "new");
    assert_content(target, "precious");
}

static void what_is_no_file_is_not_replaced(void **state)
{
    (void)state;
    OutputFile file;
    char nowhere[64];

    assert_int_equal(mkdir(fixture.path, 0700), 0);
    assert_int_equal(output_file_open(fixture.path, true, &file, NULL), -EISDIR);
    assert_int_equal(rmdir(fixture.path), 0);
    assert_int_equal(mkfifo(fixture.path, 0600), 0);
    assert_int_equal(output_file_open(fixture.path, true, &file, NULL), -ENOTSUP);
    assert_int_equal(output_file_open(fixture.path, false, &file, NULL), -EEXIST);
    (void)snprintf(nowhere, sizeof(nowhere), "%s/", fixture.directory);
    assert_int_equal(output_file_open(nowhere, true, &file, NULL), -EISDIR);
    (void)snprintf(nowhere, sizeof(nowhere), "%s/no/out", fixture.directory);
    assert_int_equal(output_file_open(nowhere, true, &file, NULL), -ENOENT);
}

static void of_several_files_all_are_there_or_none(void **state)
{
    (void)state;

    /* How many flushes go well: each file has one, and then comes the directory's. */
    for (int good = 0; good <= 4; good++) {
        OutputFile files[3];
        OutputFile *pointers[3];

        for (unsigned i = 0; i < 3; i++) {
            char path[72];

            (void)snprintf(path, sizeof(path), "%s%u", fixture.path, i);
            assert_int_equal(output_file_open(path, false, &files[i], NULL), 0);
            pointers[i] = &files[i];
        }
        fsyncs_left = good;
        int r = output_file_commit_all(pointers, 3, NULL);
        assert_int_equal(r, good < 3 ? -ENOSPC : 0);
        assert_int_equal(count_names(true), good < 3 ? 0 : 3);
        for (unsigned i = 0; i < 3; i++)
            output_file_deinit(&files[i]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_there_once_it_is_committed),
        CASE(a_file_that_is_given_up_was_never_there),
        CASE(what_is_there_stays_unless_it_is_to_be_replaced),
        CASE(a_file_system_with_the_fewest_means_keeps_what_is_there),
        CASE(replacing_is_one_step),
        CASE(a_link_is_replaced_and_not_followed),
        CASE(what_is_no_file_is_not_replaced),
        CASE(of_several_files_all_are_there_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
