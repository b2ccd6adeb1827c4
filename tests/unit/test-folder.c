/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

typedef struct Fixture {
    char path[32];
    int fd;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;

    strcpy(fixture.path, "/tmp/test-folder-XXXXXX");
    assert_non_null(mkdtemp(fixture.path));
    fixture.fd = open(fixture.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture.fd >= 0);
    *state = &fixture;
    return 0;
}

/* What any of the tests can have made, the deepest first. */
static int teardown(void **state)
{
    static const char *const names[] = { "a/b/c", "a/b", "a/x", "a", "a-b", "a.b", "Z", "link" };
    Fixture *fixture = *state;

    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (unlinkat(fixture->fd, names[i], 0) < 0)
            (void)unlinkat(fixture->fd, names[i], AT_REMOVEDIR); /* it may not be there */
    }
    (void)fd_close(fixture->fd);
    assert_int_equal(rmdir(fixture->path), 0);
    return 0;
}

static void make_file(const Fixture *fixture, const char *name, mode_t mode, const char *text)
{
    _cleanup_close_ int fd =
        openat(fixture->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void make_directory(const Fixture *fixture, const char *name)
{
    assert_int_equal(mkdirat(fixture->fd, name, 0700), 0);
}

static void refuses(const Fixture *fixture, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(folder_deinit) Folder folder = FOLDER_INIT;

    assert_true(folder_read(fixture->path, &folder, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(folder.fd, -EBADF);
}

static void entries_are_sorted_by_their_bytes(void **state)
{
    static const char *const expected[] = { "Z", "a-b", "a.b", "a/", "a/b/", "a/b/c", "a/x" };
    const Fixture *fixture = *state;
    _cleanup_(folder_deinit) Folder folder = FOLDER_INIT;

    make_directory(fixture, "a");
    make_file(fixture, "a/x", 0600, "12");
    make_file(fixture, "a.b", 0700, "345");
    make_directory(fixture, "a/b");
    make_file(fixture, "a/b/c", 0600, "");
    make_file(fixture, "Z", 0601, "6");
    make_file(fixture, "a-b", 0600, "");
    assert_int_equal(folder_read(fixture->path, &folder, NULL), 0);
    assert_int_equal(folder.n_entries, ELEMENTS_OF(expected));
    assert_int_equal(folder.size, 6);
    for (size_t i = 0; i < ELEMENTS_OF(expected); i++) {
        const FolderEntry *entry = &folder.entries[i];

        assert_string_equal(entry->name, expected[i]);
        assert_int_equal(entry->is_directory, expected[i][strlen(expected[i]) - 1] == '/');
        assert_int_equal(entry->is_executable, i == 0 || i == 2);
    }
    assert_int_equal(folder.entries[6].size, 2);
}

static void what_is_no_file_is_named(void **state)
{
    const Fixture *fixture = *state;

    refuses(fixture, "is empty");
    make_directory(fixture, "a");
    assert_int_equal(symlinkat("/", fixture->fd, "a/b"), 0);
    refuses(fixture, "'a/b' is a symbolic link");
    assert_int_equal(unlinkat(fixture->fd, "a/b", 0), 0);
    assert_int_equal(mkfifoat(fixture->fd, "a/b", 0600), 0);
    refuses(fixture, "'a/b' is a pipe");
}

static void a_name_that_no_zip_can_have_is_named(void **state)
{
    const Fixture *fixture = *state;

    make_file(fixture, "a\\b", 0600, "");
    refuses(fixture, "'a\\b' cannot be in a zip: a backslash");
    assert_int_equal(unlinkat(fixture->fd, "a\\b", 0), 0);
}

static int open_first(const Folder *folder, Error *error)
{
    ByteSource source = byte_source_from_memory(NULL, 0);

    int r = folder_open_file(folder, &folder->entries[folder->n_entries - 1], &source, error);
    (void)fd_close(source.fd);
    return r;
}

static void what_has_become_another_thing_is_not_opened(void **state)
{
    const Fixture *fixture = *state;
    _cleanup_(folder_deinit) Folder folder = FOLDER_INIT;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    make_directory(fixture, "a");
    make_file(fixture, "a/x", 0600, "");
    assert_int_equal(folder_read(fixture->path, &folder, NULL), 0);
    assert_int_equal(open_first(&folder, NULL), 0);

    assert_int_equal(unlinkat(fixture->fd, "a/x", 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", fixture->fd, "a/x"), 0);
    assert_true(open_first(&folder, NULL) < 0);
    assert_int_equal(unlinkat(fixture->fd, "a/x", 0), 0);
    assert_int_equal(mkfifoat(fixture->fd, "a/x", 0600), 0);
    assert_true(open_first(&folder, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "'a/x' is no file any more"));

    /* The directory on the way, too. */
    assert_int_equal(unlinkat(fixture->fd, "a/x", 0), 0);
    assert_int_equal(unlinkat(fixture->fd, "a", AT_REMOVEDIR), 0);
    make_file(fixture, "Z", 0600, "");
    assert_int_equal(symlinkat(".", fixture->fd, "a"), 0);
    assert_int_equal(renameat(fixture->fd, "Z", fixture->fd, "a/x"), 0);
    assert_true(open_first(&folder, NULL) < 0);
    assert_int_equal(unlinkat(fixture->fd, "x", 0), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(entries_are_sorted_by_their_bytes),
        CASE(what_is_no_file_is_named),
        CASE(a_name_that_no_zip_can_have_is_named),
        CASE(what_has_become_another_thing_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
