/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/app-archive.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"
#include "vmctl/config-json.h"

#define ENTRIES_MAX 16
#define CONFIG_PATH "assets/vm_config.json"

/* An archive of a place where there is none. */
typedef struct Made {
    MadeZip zip;
    AppArchive archive;
} Made;

/* @names, NULL-terminated, have the content @content. */
static void make(Made *made, const char *const *names, const char *content)
{
    MadeEntry entries[ENTRIES_MAX] = { 0 };
    size_t n = 0;

    for (; names[n]; n++) {
        assert_true(n < ENTRIES_MAX);
        entries[n].entry.name = names[n];
        entries[n].content = names[n][strlen(names[n]) - 1] == '/' ? "" : content;
    }
    made->zip = made_zip_new(entries, n);
    made->archive = (AppArchive){ .path = "place/app.apk", .source = made_zip_source(&made->zip) };
    assert_int_equal(zip_reader_new(&made->archive.source, &made->archive.reader, NULL), 0);
}

static void unmake(Made *made)
{
    app_archive_deinit(&made->archive);
    made_zip_free(&made->zip);
}

static void the_only_program_is_found(void **state)
{
    static const char *const archives[][5] = {
        { "lib/x86_64/libmain.so", "AndroidManifest.xml", "lib/arm64-v8a/libother.so" },
        { "bin/main", "bin/", "lib/x86_64/README", "bin/data/other" },
        { "lib/x86_64/main.so", "bin/main.so" }, /* the guest takes the library */
    };
    static const char *const found[] = { "libmain.so", "main", "main.so" };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(archives); i++) {
        Made made;
        const char *binary = NULL;

        make(&made, archives[i], "content");
        assert_int_equal(app_archive_find_binary(&made.archive, NULL, &binary, NULL), 0);
        assert_string_equal(binary, found[i]);
        unmake(&made);
    }
}

static void a_program_of_that_name_is_found(void **state)
{
    static const char *const names[] = { "bin/one", "bin/two", "lib/x86_64/plain", NULL };
    static const char *const asked[] = { "one", "two", "plain" };
    Made made;

    (void)state;
    make(&made, names, "content");
    for (size_t i = 0; i < ELEMENTS_OF(asked); i++) {
        const char *binary = NULL;

        assert_int_equal(app_archive_find_binary(&made.archive, asked[i], &binary, NULL), 0);
        assert_string_equal(binary, asked[i]);
    }
    unmake(&made);
}

static void other_choices_are_refused_with_what_there_is(void **state)
{
    static const struct {
        const char *names[ENTRIES_MAX], *binary;
        const char *sentence;
    } cases[] = {
        { { "assets/file" }, NULL, "nothing to be run: neither lib/x86_64/NAME.so nor bin/NAME" },
        { { "assets/file" }, "main", "nothing to be run" },
        { { "bin/", "lib/x86_64/" }, NULL, "nothing to be run" },
        { { "bin/b", "bin/a", "lib/x86_64/c.so" },
          NULL,
          "'--payload-binary-name' from 'a', 'b', 'c.so'" },
        { { "bin/b", "bin/a", CONFIG_PATH }, NULL, "'b', or use '--config-path=" CONFIG_PATH "'" },
        { { "bin/a" }, "b", "neither lib/x86_64/b nor bin/b, but 'a'" },
        { { "bin/a", "bin/b/" }, "b", "neither lib/x86_64/b nor bin/b, but 'a'" },
        { { "bin/0", "bin/1", "bin/2", "bin/3", "bin/4", "bin/5", "bin/6", "bin/7", "bin/8",
            "bin/9", "bin/a", "bin/b" },
          NULL,
          "'8', '9' and 2 more" },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Made made;
        const char *binary = NULL;
        Error error = ERROR_INIT;

        make(&made, cases[i].names, "content");
        assert_int_equal(app_archive_find_binary(&made.archive, cases[i].binary, &binary, &error),
                         -EINVAL);
        assert_non_null(strstr(error_get_message(&error), "'place/app.apk'"));
        assert_non_null(strstr(error_get_message(&error), cases[i].sentence));
        assert_null(binary);
        error_clear(&error);
        unmake(&made);
    }
}

static void extra_apks_of_the_configuration_are_where_the_archive_is(void **state)
{
    static const char *const names[] = { CONFIG_PATH, NULL };
    Made made;
    char **paths = NULL;
    size_t n = 0;

    (void)state;
    make(&made, names,
         "{\"task\": 7, \"extra_apks\": [{\"path\": \"a.apk\"}, 8, {\"path\": \"/b/c.apk\"}]}");
    assert_int_equal(app_archive_read_extra_apks(&made.archive, CONFIG_PATH, &paths, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(paths[0], "place/a.apk");
    assert_string_equal(paths[1], "/b/c.apk");
    app_archive_free_extra_apks(paths, n);
    made.archive.path = "app.apk";
    assert_int_equal(app_archive_read_extra_apks(&made.archive, CONFIG_PATH, &paths, &n, NULL), 0);
    assert_string_equal(paths[0], "a.apk");
    app_archive_free_extra_apks(paths, n);
    unmake(&made);
    make(&made, names, "{}");
    assert_int_equal(app_archive_read_extra_apks(&made.archive, CONFIG_PATH, &paths, &n, NULL), 0);
    assert_int_equal(n, 0);
    app_archive_free_extra_apks(paths, n);
    unmake(&made);
}

static void a_bad_configuration_is_named(void **state)
{
    static const struct {
        const char *content, *sentence;
        ErrorKind kind;
    } cases[] = {
        { "[]", "expected object", ERROR_INVALID_CONFIG },
        { "{\"a\": 1, \"a\": 2}", "/a", ERROR_INVALID_CONFIG },
        { "{} x", "no JSON", ERROR_INVALID_CONFIG },
    };
    static const char *const names[] = { CONFIG_PATH, NULL };
    char **paths;
    size_t n;
    Made made;
    Error error = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        make(&made, names, cases[i].content);
        assert_true(app_archive_read_extra_apks(&made.archive, CONFIG_PATH, &paths, &n, &error) <
                    0);
        assert_int_equal(error.kind, cases[i].kind);
        assert_non_null(strstr(error_get_message(&error), "'place/app.apk': "));
        assert_non_null(strstr(error_get_message(&error), cases[i].sentence));
        error_clear(&error);
        unmake(&made);
    }

    char *large = calloc(1, JSON_FIELDS_SIZE_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', JSON_FIELDS_SIZE_MAX + 1);
    memcpy(large, "{}", 2);
    make(&made, names, large);
    assert_true(app_archive_read_extra_apks(&made.archive, CONFIG_PATH, &paths, &n, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "65537 bytes"));
    error_clear(&error);
    assert_int_equal(app_archive_read_extra_apks(&made.archive, "other", &paths, &n, &error),
                     -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "no file 'other', but '" CONFIG_PATH "'"));
    error_clear(&error);
    unmake(&made);
    free(large);
}

static void what_is_no_archive_is_refused(void **state)
{
    AppArchive archive = APP_ARCHIVE_INIT;
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(app_archive_open("/nonexistent/app.apk", &archive, &error), -ENOENT);
    assert_non_null(strstr(error_get_message(&error), "'/nonexistent/app.apk'"));
    error_clear(&error);
    assert_true(app_archive_open("/", &archive, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    error_clear(&error);
    assert_true(app_archive_open("/proc/self/exe", &archive, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    assert_non_null(strstr(error_get_message(&error), "'/proc/self/exe': "));
    error_clear(&error);
    app_archive_deinit(&archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_program_is_found),
        cmocka_unit_test(a_program_of_that_name_is_found),
        cmocka_unit_test(other_choices_are_refused_with_what_there_is),
        cmocka_unit_test(extra_apks_of_the_configuration_are_where_the_archive_is),
        cmocka_unit_test(a_bad_configuration_is_named),
        cmocka_unit_test(what_is_no_archive_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
