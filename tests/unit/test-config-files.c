/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/config-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"
#include "vmctl/config-json.h"

static ConfigFiles *parse(const char *text, const char *name)
{
    ConfigFiles *config = NULL;

    assert_int_equal(config_files_parse(text, name, &config, NULL), 0);
    return config;
}

static void assert_refused(const char *text, const char *sentence)
{
    ConfigFiles *config = NULL;
    Error error = ERROR_INIT;

    assert_true(config_files_parse(text, NULL, &config, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_CONFIG);
    assert_non_null(strstr(error_get_message(&error), sentence));
    assert_null(config);
    error_clear(&error);
}

static void assert_file(const ConfigFiles *config, size_t i, const char *path, bool writable)
{
    assert_true(i < config->n_files);
    assert_string_equal(config->files[i].path, path);
    assert_int_equal(config->files[i].writable, writable);
    assert_true(config->files[i].fd < 0);
}

static void all_paths_of_an_app_are_found(void **state)
{
    ConfigFiles *config =
        parse("{\"payload\": {\"apk\": \"a\", \"idsig\": \"s\", \"instance_image\": \"i\","
              " \"encrypted_storage\": \"e\", \"config_path\": \"c.json\","
              " \"extra_apks\": [{\"apk\": \"x0\", \"idsig\": \"y0\"},"
              " {\"apk\": \"a\", \"idsig\": \"y1\"}, 7],"
              " \"apexes\": [{\"name\": \"n\", \"image\": \"m\"}]}}",
              NULL);

    (void)state;
    assert_int_equal(config->n_files, 8);
    assert_file(config, 0, "a", false);
    assert_file(config, 1, "s", false);
    assert_file(config, 2, "i", true);
    assert_file(config, 3, "e", true);
    assert_file(config, 4, "x0", false);
    assert_file(config, 5, "y0", false);
    assert_file(config, 6, "y1", false);
    assert_file(config, 7, "m", false);
    config_files_free(config);
    config = parse("{\"payload\": [\"apk\"]}", NULL); /* the service names what is wrong */
    assert_int_equal(config->n_files, 0);
    config_files_free(config);
}

static void all_paths_are_found(void **state)
{
    ConfigFiles *config =
        parse("{\"name\": \"vm\", \"kernel\": \"k\", \"initrd\": \"i\", \"bootloader\": \"b\","
              " \"disks\": [{\"image\": \"d\", \"writable\": true}, {\"partitions\": ["
              "{\"label\": \"a\", \"path\": \"/p/a\"},"
              "{\"label\": \"b\", \"path\": \"../b\", \"writable\": true}]}]}",
              NULL);

    (void)state;
    assert_string_equal(config->name, "vm");
    assert_int_equal(config->n_files, 6);
    assert_file(config, 0, "k", false);
    assert_file(config, 1, "i", false);
    assert_file(config, 2, "b", false);
    assert_file(config, 3, "d", true);
    assert_file(config, 4, "/p/a", false);
    assert_file(config, 5, "../b", true);
    config_files_free(config);
}

static void repeated_path_is_one_file(void **state)
{
    ConfigFiles *config = parse("{\"disks\": [{\"image\": \"d\"},"
                                " {\"image\": \"d\", \"writable\": true}, {\"image\": \"d\"}]}",
                                NULL);

    (void)state;
    assert_int_equal(config->n_files, 1);
    assert_file(config, 0, "d", true);
    config_files_free(config);
}

static void text_is_passed_on_unchanged(void **state)
{
    static const char text[] = "{ \"kernel\":\t\"a\\/b\",\n\"unknown\": [1.50, null] }\n";
    ConfigFiles *config = parse(text, NULL);

    (void)state;
    assert_string_equal(config->text, text);
    assert_null(config->name);
    assert_file(config, 0, "a/b", false);
    config_files_free(config);
}

static void name_is_replaced_or_added(void **state)
{
    ConfigFiles *replaced = parse("{\"name\": \"old\", \"kernel\": \"a/b\"}", "new");
    ConfigFiles *added = parse("{\"kernel\": \"k\"}", "new");

    (void)state;
    assert_string_equal(replaced->name, "new");
    assert_non_null(strstr(replaced->text, "\"new\""));
    assert_null(strstr(replaced->text, "old"));
    assert_non_null(strstr(replaced->text, "\"a/b\""));
    assert_string_equal(added->name, "new");
    config_files_free(replaced);
    config_files_free(added);
}

static void values_of_wrong_types_are_left_to_the_service(void **state)
{
    ConfigFiles *config = parse("{\"kernel\": 1, \"name\": [], \"initrd\": null, \"disks\": [1, "
                                "{\"image\": {}, \"partitions\": \"p\"},"
                                "{\"image\": \"d\", \"writable\": 1},"
                                "{\"partitions\": [null, \"x\", {\"path\": false}]}]}",
                                NULL);

    (void)state;
    assert_null(config->name);
    assert_int_equal(config->n_files, 1);
    assert_file(config, 0, "d", false);
    config_files_free(config);
}

static void what_is_no_json_object_is_refused(void **state)
{
    (void)state;
    assert_refused("", "no JSON");
    assert_refused("{\"kernel\": \"k\"", "no JSON");
    assert_refused("{\"kernel\": \"k\",}", "no JSON");
    assert_refused("{} {}", "no JSON");
    assert_refused("[]", "expected object");
    assert_refused("null", "expected object");
    assert_refused("{\"kernel\": \"\xff\"}", "no UTF-8");
}

static void repeated_key_and_nul_in_a_path_are_refused(void **state)
{
    (void)state;
    assert_refused("{\"kernel\": \"a\", \"kernel\": \"b\"}", "/kernel: the key is there twice");
    assert_refused("{\"kernel\": \"a\\u0000b\"}", "NUL");
}

static void text_may_have_the_largest_size_and_no_more(void **state)
{
    char *text = calloc(1, JSON_FIELDS_SIZE_MAX + 2);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', JSON_FIELDS_SIZE_MAX);
    memcpy(text, "{}", 2);
    config_files_free(parse(text, NULL));
    text[JSON_FIELDS_SIZE_MAX] = ' ';
    assert_refused(text, "more than 65536 bytes");
    free(text);
}

static void files_are_opened_for_what_they_are(void **state)
{
    char directory[] = "/tmp/test-config-files-XXXXXX";
    ConfigFiles *config =
        parse("{\"kernel\": \"k\", \"disks\": [{\"image\": \"d\", \"writable\": true}]}", NULL);
    ConfigFiles *missing = parse("{\"kernel\": \"absent\"}", NULL);
    Error error = ERROR_INIT;

    (void)state;
    assert_non_null(mkdtemp(directory));
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory_fd >= 0);
    assert_int_equal(fd_close(openat(directory_fd, "k", O_CREAT | O_WRONLY, 0600)), -EBADF);
    assert_int_equal(fd_close(openat(directory_fd, "d", O_CREAT | O_WRONLY, 0600)), -EBADF);

    assert_int_equal(config_files_open(config, directory_fd, NULL), 0);
    assert_int_equal(fd_get_access_mode(config->files[0].fd), O_RDONLY);
    assert_int_equal(fd_get_access_mode(config->files[1].fd), O_RDWR);
    assert_int_equal(config_files_open(missing, directory_fd, &error), -ENOENT);
    assert_non_null(strstr(error_get_message(&error), "'absent'"));

    error_clear(&error);
    config_files_free(missing);
    config_files_free(config);
    assert_int_equal(unlinkat(directory_fd, "k", 0), 0);
    assert_int_equal(unlinkat(directory_fd, "d", 0), 0);
    (void)fd_close(directory_fd);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_paths_are_found),
        cmocka_unit_test(all_paths_of_an_app_are_found),
        cmocka_unit_test(repeated_path_is_one_file),
        cmocka_unit_test(text_is_passed_on_unchanged),
        cmocka_unit_test(name_is_replaced_or_added),
        cmocka_unit_test(values_of_wrong_types_are_left_to_the_service),
        cmocka_unit_test(what_is_no_json_object_is_refused),
        cmocka_unit_test(repeated_key_and_nul_in_a_path_are_refused),
        cmocka_unit_test(text_may_have_the_largest_size_and_no_more),
        cmocka_unit_test(files_are_opened_for_what_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
