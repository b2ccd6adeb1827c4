/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/work-directory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

/* Each case is in an empty directory of its own. */
static int enter_directory(void **state)
{
    char template[] = "/tmp/test-work-directory-XXXXXX";

    assert_non_null(mkdtemp(template));
    *state = strdup(template);
    assert_non_null(*state);
    return chdir(template);
}

static int leave_directory(void **state)
{
    int r = chdir("/") < 0 || rmdir(*state) < 0 ? -1 : 0; /* which a case leaves empty */

    free(*state);
    return r;
}

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void what_is_missing_is_made_and_goes_again(void **state)
{
    static const char *const paths[] = { "a/b/c", "a//b/./c/", "./a/b" };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(paths); i++) {
        WorkDirectory directory = { 0 };
        struct stat status;

        assert_int_equal(work_directory_make(&directory, paths[i], "name", NULL), 0);
        assert_string_equal(directory.path, paths[i]);
        assert_int_equal(stat(paths[i], &status), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
        work_directory_deinit(&directory);
        assert_false(is_directory("a"));
    }
}

static void what_was_there_stays(void **state)
{
    WorkDirectory directory = { 0 }, same = { 0 };

    (void)state;
    assert_int_equal(mkdir("a", 0755), 0);
    assert_int_equal(work_directory_make(&directory, "a/b/c", "name", NULL), 0);
    assert_int_equal(work_directory_make(&same, "a/b/c", "name", NULL), 0);
    work_directory_deinit(&same);
    assert_true(is_directory("a/b/c"));
    work_directory_deinit(&directory);
    assert_false(is_directory("a/b"));
    assert_int_equal(rmdir("a"), 0);
}

static void what_is_kept_or_used_stays(void **state)
{
    WorkDirectory directory = { 0 };

    (void)state;
    assert_int_equal(work_directory_make(&directory, "a/b", "name", NULL), 0);
    work_directory_keep(&directory);
    work_directory_deinit(&directory);
    assert_int_equal(work_directory_make(&directory, "a/b/c", "name", NULL), 0);
    assert_int_equal(mkdir("a/b/c/used", 0755), 0);
    work_directory_deinit(&directory);
    assert_int_equal(rmdir("a/b/c/used"), 0);
    assert_int_equal(rmdir("a/b/c"), 0);
    assert_int_equal(rmdir("a/b"), 0);
    assert_int_equal(rmdir("a"), 0);
}

static void what_cannot_be_made_leaves_nothing(void **state)
{
    WorkDirectory directory = { 0 };
    char path[300 + sizeof("a/b/")] = "a/b/";
    Error error = ERROR_INIT;

    (void)state;
    memset(path + 4, 'x', 300); /* more than a name can have */
    assert_int_equal(work_directory_make(&directory, path, "name", &error), -ENAMETOOLONG);
    assert_non_null(strstr(error_get_message(&error), path));
    error_clear(&error);
    work_directory_deinit(&directory);
    assert_false(is_directory("a"));
}

static void by_default_it_is_among_the_users_state(void **state)
{
    static const struct {
        const char *state_home, *home, *path; /* without the case's directory */
    } cases[] = {
        { "/state", "/home", "/state/vmctl/name" },
        { NULL, "/home", "/home/.local/state/vmctl/name" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        WorkDirectory directory = { 0 };
        char state_home[100], home[100], path[200];

        (void)snprintf(state_home, sizeof(state_home), "%s%s", (char *)*state, cases[0].state_home);
        (void)snprintf(home, sizeof(home), "%s%s", (char *)*state, cases[i].home);
        (void)snprintf(path, sizeof(path), "%s%s", (char *)*state, cases[i].path);
        /* A relative one is ignored. */
        assert_int_equal(setenv("XDG_STATE_HOME", cases[i].state_home ? state_home : "state", 1),
                         0);
        assert_int_equal(setenv("HOME", home, 1), 0);
        assert_int_equal(work_directory_make(&directory, NULL, "name", NULL), 0);
        assert_string_equal(directory.path, path);
        work_directory_deinit(&directory);
    }
}

static void without_a_home_the_remedy_is_named(void **state)
{
    WorkDirectory directory = { 0 };
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(work_directory_make(&directory, NULL, "name", &error), -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "--work-dir"));
    error_clear(&error);
    work_directory_deinit(&directory);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, enter_directory, leave_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_missing_is_made_and_goes_again),
        CASE(what_was_there_stays),
        CASE(what_is_kept_or_used_stays),
        CASE(what_cannot_be_made_leaves_nothing),
        CASE(by_default_it_is_among_the_users_state),
        CASE(without_a_home_the_remedy_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
