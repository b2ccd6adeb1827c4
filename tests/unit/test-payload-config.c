/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static PayloadConfig *parse(const char *text)
{
    PayloadConfig *config = NULL;
    Error error = ERROR_INIT;

    if (payload_config_parse(text, strlen(text), &config, &error) < 0)
        fail_msg("'%s' is refused: %s", text, error_get_message(&error));
    return config;
}

static void refuses_kind(const char *text, size_t size, ErrorKind kind, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PayloadConfig *config = NULL;

    assert_true(payload_config_parse(text, size, &config, &error) < 0);
    assert_null(config);
    assert_int_equal(error.kind, kind);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
}

static void refuses(const char *text, const char *words)
{
    refuses_kind(text, strlen(text), ERROR_INVALID_CONFIG, words);
}

static void everything_is_read(void **state)
{
    _cleanup_(payload_config_freep) PayloadConfig *config =
        parse("{\"os\": {\"name\": \"microdroid\"},"
              " \"task\": {\"type\": \"microdroid_launcher\", \"command\": \"libpayload.so\"},"
              " \"apexes\": [{\"name\": \"com.android.one\"}, {\"name\": \"com.android.two\"}],"
              " \"extra_apks\": [{\"path\": \"/data/extra one.apk\"}],"
              " \"prefer_staged\": true, \"export_tombstones\": false,"
              " \"enable_authfs\": false, \"hugepages\": true}");

    (void)state;
    assert_string_equal(config->os_name, "microdroid");
    assert_int_equal(config->task_type, PAYLOAD_TASK_LAUNCHER);
    assert_string_equal(config->command, "libpayload.so");
    assert_int_equal(config->n_apexes, 2);
    assert_string_equal(config->apexes[0], "com.android.one");
    assert_string_equal(config->apexes[1], "com.android.two");
    assert_int_equal(config->n_extra_apks, 1);
    assert_string_equal(config->extra_apks[0], "/data/extra one.apk");
    assert_int_equal(config->export_tombstones, PAYLOAD_CHOICE_NO);
    assert_true(config->prefer_staged && config->hugepages);
}

static void everything_may_be_left_out(void **state)
{
    _cleanup_(payload_config_freep) PayloadConfig *empty = parse("{}");
    _cleanup_(payload_config_freep) PayloadConfig *hollow =
        parse("{\"os\": {}, \"apexes\": [], \"extra_apks\": []}");
    _cleanup_(payload_config_freep) PayloadConfig *unnamed = parse("{\"os\": {\"name\": \"\"}}");

    (void)state;
    assert_null(empty->os_name);
    assert_null(empty->command);
    assert_int_equal(empty->task_type, PAYLOAD_TASK_EXECUTABLE);
    assert_int_equal(empty->n_apexes + empty->n_extra_apks, 0);
    assert_int_equal(empty->export_tombstones, PAYLOAD_CHOICE_DEFAULT);
    assert_false(empty->prefer_staged || empty->hugepages);
    assert_int_equal(hollow->n_apexes + hollow->n_extra_apks, 0);
    assert_null(unnamed->os_name);
}

static void keys_that_are_none_are_refused_by_their_place(void **state)
{
    (void)state;
    refuses("{\"tasks\": {}}", "/tasks: unknown key");
    refuses("{\"task\": {\"command\": \"/a\", \"args\": []}}", "/task/args: unknown key");
    refuses("{\"os\": {\"version\": 1}}", "/os/version: unknown key");
    refuses("{\"apexes\": [{\"name\": \"a\"}, {\"path\": \"b\"}]}", "/apexes/1/path: unknown key");
    refuses("{\"extra_apks\": [{\"name\": \"b\"}]}", "/extra_apks/0/name: unknown key");
    refuses("{\"hugepages\": true, \"hugepages\": true}", "/hugepages");
    refuses("{\"task\": {\"command\": \"/a\", \"command\": \"/b\"}}", "/task/command");
}

static void wrong_types_are_refused_by_their_place(void **state)
{
    static const char *const keys[] = { "os",
                                        "task",
                                        "apexes",
                                        "extra_apks",
                                        "prefer_staged",
                                        "export_tombstones",
                                        "enable_authfs",
                                        "hugepages" };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(keys); i++) {
        char text[64], place[64];

        (void)snprintf(text, sizeof(text), "{\"%s\": 1}", keys[i]);
        (void)snprintf(place, sizeof(place), "/%s: expected", keys[i]);
        refuses(text, place);
        (void)snprintf(text, sizeof(text), "{\"%s\": null}", keys[i]);
        refuses(text, place);
    }
    refuses("{\"apexes\": [1]}", "/apexes/0: expected object, got int");
    refuses("{\"apexes\": [{\"name\": true}]}", "/apexes/0/name: expected string");
    refuses("{\"task\": {\"command\": [\"/a\"]}}", "/task/command: expected string");
    refuses("{\"hugepages\": \"true\"}", "/hugepages: expected boolean, got string");
    refuses("[]", "/: expected object, got array");
}

static void what_a_table_needs_is_there(void **state)
{
    (void)state;
    refuses("{\"task\": {}}", "/task: there is no 'command'");
    refuses("{\"task\": {\"type\": \"executable\"}}", "/task: there is no 'command'");
    refuses("{\"apexes\": [{}]}", "/apexes/0: there is no 'name'");
    refuses("{\"extra_apks\": [{\"path\": \"a\"}, {}]}", "/extra_apks/1: there is no 'path'");
}

static void task_is_of_one_of_two_types(void **state)
{
    _cleanup_(payload_config_freep) PayloadConfig *config =
        parse("{\"task\": {\"type\": \"executable\", \"command\": \"/mnt/apk/bin/run\"}}");

    (void)state;
    assert_int_equal(config->task_type, PAYLOAD_TASK_EXECUTABLE);
    refuses("{\"task\": {\"type\": \"shell\", \"command\": \"/a\"}}",
            "/task/type: 'shell' is none");
    refuses("{\"task\": {\"type\": \"\", \"command\": \"/a\"}}", "/task/type: '' is none");
    refuses("{\"task\": {\"command\": \"bin/run\"}}", "/task/command: a program is named");
    refuses("{\"task\": {\"command\": \"\"}}", "/task/command: the text is empty");
    for (unsigned i = 0; i < 4; i++) {
        static const char *const names[] = { "lib/a.so", "/a.so", "..", "." };
        char text[128];

        (void)snprintf(text, sizeof(text),
                       "{\"task\": {\"type\": \"microdroid_launcher\", \"command\": \"%s\"}}",
                       names[i]);
        refuses(text, "/task/command: a library is named without a directory");
    }
}

static void authfs_is_refused_as_not_served(void **state)
{
    static const char text[] = "{\"enable_authfs\": true}";

    (void)state;
    refuses_kind(text, strlen(text), ERROR_NOT_SUPPORTED, "/enable_authfs: this guest has no");
}

static void names_are_names(void **state)
{
    (void)state;
    refuses("{\"apexes\": [{\"name\": \"../a\"}]}", "/apexes/0/name: a name has");
    refuses("{\"apexes\": [{\"name\": \"a/b\"}]}", "/apexes/0/name: a name has");
    refuses("{\"apexes\": [{\"name\": \".a\"}]}", "/apexes/0/name: a name has");
    refuses("{\"apexes\": [{\"name\": \"\"}]}", "/apexes/0/name: the text is empty");
    refuses("{\"apexes\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}", "'a' is there twice");
    refuses("{\"os\": {\"name\": \"a b\"}}", "/os/name: a name has");
    refuses("{\"task\": {\"command\": \"/a\\u0000b\"}}", "/task/command: the text has a control");
    refuses("{\"task\": {\"command\": \"/a\\nb\"}}", "/task/command: the text has a control");
}

/* A text between @begin and @end that has @size times 'n'. */
static char *fill(const char *begin, size_t size, const char *end)
{
    char *text = malloc(strlen(begin) + size + strlen(end) + 1);

    assert_non_null(text);
    (void)strcpy(text, begin);
    memset(text + strlen(begin), 'n', size);
    (void)strcpy(text + strlen(begin) + size, end);
    return text;
}

static void texts_have_limits(void **state)
{
    static const struct {
        const char *begin, *end;
        size_t max;
    } texts[] = {
        { "{\"os\": {\"name\": \"", "\"}}", PAYLOAD_OS_NAME_MAX },
        { "{\"apexes\": [{\"name\": \"", "\"}]}", PAYLOAD_NAME_MAX },
        { "{\"extra_apks\": [{\"path\": \"", "\"}]}", PAYLOAD_PATH_MAX },
        { "{\"task\": {\"command\": \"/", "\"}}", PAYLOAD_COMMAND_MAX - 1 },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        _cleanup_free_ char *longest = fill(texts[i].begin, texts[i].max, texts[i].end);
        _cleanup_free_ char *longer = fill(texts[i].begin, texts[i].max + 1, texts[i].end);

        payload_config_free(parse(longest));
        refuses(longer, "at most");
    }
}

static void lists_have_limits(void **state)
{
    static const struct {
        const char *key, *element;
        size_t max;
        bool is_numbered;
    } lists[] = {
        { "apexes", "name", PAYLOAD_APEXES_MAX, true },
        { "extra_apks", "path", PAYLOAD_EXTRA_APKS_MAX, false },
    };
    char text[8192];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(lists); i++) {
        for (size_t n = lists[i].max; n <= lists[i].max + 1; n++) {
            int size = snprintf(text, sizeof(text), "{\"%s\": [", lists[i].key);
            for (size_t j = 0; j < n; j++)
                size += snprintf(text + size, sizeof(text) - (size_t)size, "%s{\"%s\": \"e%zu\"}",
                                 j > 0 ? ", " : "", lists[i].element, lists[i].is_numbered ? j : 0);
            (void)snprintf(text + size, sizeof(text) - (size_t)size, "]}");
            if (n == lists[i].max)
                payload_config_free(parse(text));
            else
                refuses(text, "at most");
        }
    }
}

static void what_is_no_json_is_refused(void **state)
{
    _cleanup_free_ char *large = malloc(PAYLOAD_CONFIG_SIZE_MAX + 2);
    PayloadConfig *config = NULL;

    (void)state;
    refuses("", "no JSON");
    refuses("{", "no JSON");
    refuses("{} {}", "no JSON");
    refuses("{'os': {}}", "");
    refuses("{\"os\": {\"name\": \"\xff\"}}", "");
    refuses("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", "no JSON");
    refuses_kind("{}\0{}", 5, ERROR_INVALID_CONFIG, "no JSON");

    assert_non_null(large);
    memset(large, ' ', PAYLOAD_CONFIG_SIZE_MAX + 2);
    memcpy(large, "{}", 2);
    large[PAYLOAD_CONFIG_SIZE_MAX] = '\0';
    assert_int_equal(payload_config_parse(large, PAYLOAD_CONFIG_SIZE_MAX, &config, NULL), 0);
    payload_config_free(config);
    large[PAYLOAD_CONFIG_SIZE_MAX] = ' ';
    large[PAYLOAD_CONFIG_SIZE_MAX + 1] = '\0';
    refuses(large, "more than 65536 bytes");
}

static void write_file(int directory, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void cannot_load(int directory, const char *path, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PayloadConfig *config = NULL;

    assert_true(payload_config_load(directory, path, &config, &error) < 0);
    assert_null(config);
    assert_int_equal(error.kind, ERROR_INVALID_CONFIG);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
}

static void file_is_read_from_below_a_directory(void **state)
{
    char path[] = "/tmp/payload-config-XXXXXX";
    _cleanup_(payload_config_freep) PayloadConfig *config = NULL;

    (void)state;
    assert_non_null(mkdtemp(path));
    _cleanup_close_ int outer = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(outer, "root", 0700), 0);
    _cleanup_close_ int root = openat(outer, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root, "assets", 0700), 0);
    assert_int_equal(mkfifoat(root, "pipe", 0600), 0);
    assert_int_equal(symlinkat("assets/config.json", root, "link"), 0);
    write_file(outer, "config.json", "{}");
    write_file(root, "assets/config.json", "{\"hugepages\": true}");

    assert_int_equal(payload_config_load(root, "assets/config.json", &config, NULL), 0);
    assert_true(config->hugepages);
    cannot_load(root, "../config.json", "cannot open '../config.json'");
    cannot_load(root, "/etc/passwd", "cannot open");
    cannot_load(root, "link", "cannot open");
    cannot_load(root, "none", "No such file");
    cannot_load(root, "assets", "is no file");
    cannot_load(root, "pipe", "is no file");

    (void)unlinkat(root, "assets/config.json", 0);
    (void)unlinkat(root, "assets", AT_REMOVEDIR);
    (void)unlinkat(root, "pipe", 0);
    (void)unlinkat(root, "link", 0);
    (void)unlinkat(outer, "config.json", 0);
    (void)unlinkat(outer, "root", AT_REMOVEDIR);
    (void)rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(everything_may_be_left_out),
        cmocka_unit_test(keys_that_are_none_are_refused_by_their_place),
        cmocka_unit_test(wrong_types_are_refused_by_their_place),
        cmocka_unit_test(what_a_table_needs_is_there),
        cmocka_unit_test(task_is_of_one_of_two_types),
        cmocka_unit_test(authfs_is_refused_as_not_served),
        cmocka_unit_test(names_are_names),
        cmocka_unit_test(texts_have_limits),
        cmocka_unit_test(lists_have_limits),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(file_is_read_from_below_a_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
