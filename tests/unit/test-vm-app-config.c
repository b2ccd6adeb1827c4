/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-app-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "composite-disk/payload-metadata.h"
#include "tests/helpers/test.h"
#include "virtualizationd/vm-config.h"

#define HOST_MEMORY (UINT64_C(4096) << 20)

#define HEX_16 "00112233445566778899aabbccddeeff"
#define ID     "\"instance_id\":\"" HEX_16 HEX_16 HEX_16 HEX_16 "\""
#define FILES  "\"apk\":\"a\",\"idsig\":\"s\",\"instance_image\":\"i\","

#define PAYLOAD(members) "{\"payload\":{" members "}}"
#define APP(more)        PAYLOAD(FILES ID "," more)

static void assert_refused(const char *json, ErrorKind kind, const char *beginning)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConfig *config = NULL;

    assert_int_equal(vm_config_parse(json, HOST_MEMORY, &config, &error),
                     -error_kind_to_errno(kind));
    assert_null(config);
    assert_int_equal(error.kind, kind);
    if (strncmp(error_get_message(&error), beginning, strlen(beginning)) != 0)
        assert_string_equal(error_get_message(&error), beginning);
}

static VmConfig *parse(const char *json)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConfig *config = NULL;

    int r = vm_config_parse(json, HOST_MEMORY, &config, &error);
    if (r < 0)
        print_message("%s\n", error_get_message(&error));
    assert_int_equal(r, 0);
    return config;
}

static void all_of_an_app_is_read(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config =
        parse("{\"name\":\"app\",\"memory_mib\":512,\"protected\":false,\"payload\":{" FILES ID
              ",\"encrypted_storage\":\"e\",\"binary\":\"libmain.so\",\"os\":\"other-os\","
              "\"debug_level\":\"full\",\"extra_apks\":[{\"apk\":\"x0\",\"idsig\":\"y0\"},"
              "{\"idsig\":\"y1\",\"apk\":\"x1\"}],"
              "\"apexes\":[{\"name\":\"com.example.module\",\"image\":\"m\"}]}}");
    const VmAppConfig *app = config->app;

    assert_non_null(app);
    assert_string_equal(config->name, "app");
    assert_true(config->memory_bytes == UINT64_C(512) << 20);
    assert_null(config->kernel);
    assert_null(config->params);
    assert_string_equal(app->apk, "a");
    assert_string_equal(app->idsig, "s");
    assert_string_equal(app->instance_image, "i");
    assert_string_equal(app->encrypted_storage, "e");
    assert_string_equal(app->binary, "libmain.so");
    assert_null(app->config_path);
    assert_string_equal(app->os, "other-os");
    assert_int_equal(app->debug_level, DEBUG_LEVEL_FULL);
    assert_int_equal(app->n_extra_apks, 2);
    assert_string_equal(app->extra_apks[1].apk, "x1");
    assert_string_equal(app->extra_apks[1].idsig, "y1");
    assert_int_equal(app->n_apexes, 1);
    assert_string_equal(app->apexes[0].name, "com.example.module");
    assert_string_equal(app->apexes[0].image, "m");
    assert_int_equal(app->instance_id[0], 0x00);
    assert_int_equal(app->instance_id[1], 0x11);
    assert_int_equal(app->instance_id[63], 0xff);
}

static void least_app_has_the_defaults(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config = parse(APP("\"config_path\":\"assets/c.json\""));
    const VmAppConfig *app = config->app;

    assert_string_equal(app->config_path, "assets/c.json");
    assert_null(app->binary);
    assert_null(app->encrypted_storage);
    assert_int_equal(app->n_extra_apks, 0);
    assert_int_equal(app->n_apexes, 0);
    assert_string_equal(app->os, "microguest");
    assert_int_equal(app->debug_level, DEBUG_LEVEL_NONE);
    assert_true(config->memory_bytes == 0); /* the operating system's */
    assert_int_equal(config->payload_timeout_ms, 0);
}

static void refused_apps_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *beginning;
    } cases[] = {
        { "{\"payload\":1}", "/payload: expected object, got int" },
        { "{\"payload\":null}", "/payload: expected object, got null" },
        { "{\"payload\":{}}", "/payload: 'apk' is missing" },
        { PAYLOAD("\"apk\":\"a\""), "/payload: 'idsig' is missing: CreateOrUpdateIdsig makes one" },
        { PAYLOAD("\"apk\":\"a\",\"idsig\":\"s\""),
          "/payload: 'instance_image' is missing: InitializeWritablePartition makes one" },
        { PAYLOAD(FILES "\"binary\":\"b\""),
          "/payload: 'instance_id' is missing: AllocateInstanceId gives one" },
        { PAYLOAD(FILES ID),
          "/payload: an app is run by either a 'config_path' or a 'binary', not by neither" },
        { APP("\"binary\":\"b\",\"config_path\":\"c\""),
          "/payload: an app is run by either a 'config_path' or a 'binary', not by both" },
        { APP("\"binary\":\"b\",\"unknown\":1"), "/payload/unknown: unknown key" },
        { APP("\"binary\":\"b\",\"apk\":\"b\""), "/payload/apk: the key is there twice" },
        { APP("\"binary\":1"), "/payload/binary: expected string, got int" },
        { APP("\"binary\":\"\""), "/payload/binary: the text is empty" },
        { APP("\"binary\":\"lib/b\""), "/payload/binary: 'lib/b' is a path" },
        { APP("\"binary\":\"/\""), "/payload/binary: '/' is a path" },
        { APP("\"config_path\":\"/mnt/apk/c.json\""),
          "/payload/config_path: '/mnt/apk/c.json' is not below the APK's root" },
        { APP("\"config_path\":\"..\""), "/payload/config_path: '..' is not below" },
        { APP("\"config_path\":\"../c\""), "/payload/config_path: '../c' is not below" },
        { APP("\"config_path\":\"a/../../c\""), "/payload/config_path: 'a/../../c' is not below" },
        { APP("\"config_path\":\"a/..\""), "/payload/config_path: 'a/..' is not below" },
        { PAYLOAD(FILES "\"binary\":\"b\",\"instance_id\":\"00\""),
          "/payload/instance_id: 2 characters, an instance id has 128 hex digits" },
        { PAYLOAD(FILES "\"binary\":\"b\",\"instance_id\":\"" HEX_16 HEX_16 HEX_16 HEX_16 "0\""),
          "/payload/instance_id: 129 characters" },
        { PAYLOAD(FILES "\"binary\":\"b\",\"instance_id\":\"g0112233445566778899aabbccddeeff" HEX_16
                      HEX_16 HEX_16 "\""),
          "/payload/instance_id: an instance id has hex digits only" },
        { APP("\"binary\":\"b\",\"encrypted_storage\":\"host:kernel\""),
          "/payload/encrypted_storage: 'host:kernel' is a name for the host's own files" },
        { APP("\"binary\":\"b\",\"os\":\"../microguest\""), "/payload/os: a name has letters" },
        { APP("\"binary\":\"b\",\"os\":\".hidden\""), "/payload/os: a name has letters" },
        { APP("\"binary\":\"b\",\"debug_level\":\"app_only\""),
          "/payload/debug_level: 'app_only' is none of 'none', 'full'" },
        { APP("\"binary\":\"b\",\"extra_apks\":[{\"apk\":\"x\"}]"),
          "/payload/extra_apks: extra APK 0 has no 'idsig'" },
        { APP("\"binary\":\"b\",\"extra_apks\":[{\"apk\":\"x\",\"idsig\":\"y\"},{\"idsig\":\"z\"}]"),
          "/payload/extra_apks: extra APK 1 has no 'apk'" },
        { APP("\"binary\":\"b\",\"extra_apks\":[\"x\"]"),
          "/payload/extra_apks/0: expected object, got string" },
        { APP("\"binary\":\"b\",\"extra_apks\":[{\"path\":\"x\"}]"),
          "/payload/extra_apks/0/path: unknown key" },
        { APP("\"binary\":\"b\",\"apexes\":[{\"name\":\"x\"}]"),
          "/payload/apexes: APEX 0 has no 'image'" },
        { APP("\"binary\":\"b\",\"apexes\":[{\"image\":\"x\"}]"),
          "/payload/apexes: APEX 0 has no 'name'" },
        { APP("\"binary\":\"b\",\"apexes\":[{\"name\":\"x\",\"image\":\"1\"},"
              "{\"name\":\"x\",\"image\":\"2\"}]"),
          "/payload/apexes: the APEX 'x' is there twice" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_refused(cases[i].json, ERROR_INVALID_CONFIG, cases[i].beginning);
}

/* An app next to @member. */
static void assert_excluded(const char *member, const char *beginning)
{
    char json[1024];

    (void)snprintf(json, sizeof(json), "{%s,\"payload\":{" FILES ID ",\"binary\":\"b\"}}", member);
    assert_refused(json, ERROR_INVALID_CONFIG, beginning);
}

static void what_the_operating_system_has_is_not_the_apps_to_say(void **state)
{
    (void)state;
    assert_excluded("\"kernel\":\"k\"",
                    "/kernel: a VM with a 'payload' has its operating system's");
    assert_excluded("\"initrd\":\"k\"", "/initrd: a VM with a 'payload'");
    assert_excluded("\"bootloader\":\"k\"", "/bootloader: a VM with a 'payload'");
    assert_excluded("\"params\":\"\"", "/params: a VM with a 'payload'");
    assert_excluded("\"disks\":[{\"image\":\"x\"}]", "/disks: a VM with a 'payload'");
    assert_refused("{\"protected\":true,\"payload\":{" FILES ID ",\"binary\":\"b\"}}",
                   ERROR_NOT_SUPPORTED, "/protected: this host has no hypervisor");
}

/* A document of so many, each used twice: names are short. */
static char *with_numbers(unsigned n_extra_apks, unsigned n_apexes)
{
    char *json = NULL;
    size_t size;
    FILE *stream = open_memstream(&json, &size);

    assert_non_null(stream);
    fputs("{\"payload\":{" FILES ID ",\"binary\":\"b\",\"extra_apks\":[", stream);
    for (unsigned i = 0; i < n_extra_apks; i++)
        fprintf(stream, "%s{\"apk\":\"x%u\",\"idsig\":\"y%u\"}", i > 0 ? "," : "", i, i);
    fputs("],\"apexes\":[", stream);
    for (unsigned i = 0; i < n_apexes; i++)
        fprintf(stream, "%s{\"name\":\"n%u\",\"image\":\"m%u\"}", i > 0 ? "," : "", i, i);
    fputs("]}}", stream);
    assert_int_equal(fclose(stream), 0);
    return json;
}

static void each_number_is_taken_up_to_its_maximum(void **state)
{
    (void)state;
    static const struct {
        unsigned n_extra_apks, n_apexes;
        const char *refusal; /* NULL: taken */
    } cases[] = {
        { VM_CONFIG_EXTRA_APKS_MAX, 25, NULL },
        { VM_CONFIG_EXTRA_APKS_MAX + 1, 0,
          "/payload/extra_apks: 51 elements, at most 50 are taken" },
        { 0, PAYLOAD_APEXES_MAX, NULL },
        { 0, PAYLOAD_APEXES_MAX + 1, "/payload/apexes: 65 elements, at most 64 are taken" },
        { VM_CONFIG_EXTRA_APKS_MAX, 26,
          "/payload: 26 APEXes and 50 extra APKs, two partitions each, make a disk of 129" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_free_ char *json = with_numbers(cases[i].n_extra_apks, cases[i].n_apexes);

        if (cases[i].refusal)
            assert_refused(json, ERROR_INVALID_CONFIG, cases[i].refusal);
        else
            assert_null(vm_config_free(parse(json)));
    }
}

/* @format with @length letters in it. */
static char *with_text(const char *format, size_t length)
{
    _cleanup_free_ char *text = malloc(length + 1);
    char *json;

    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    assert_true(asprintf(&json, format, text) > 0);
#pragma GCC diagnostic pop
    return json;
}

static void texts_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        size_t max;
        const char *beginning;
    } cases[] = {
        { APP("\"binary\":\"%s\""), PAYLOAD_NAME_MAX, "/payload/binary: the text has 256 bytes" },
        { APP("\"config_path\":\"%s\""), PAYLOAD_PATH_MAX - strlen("/mnt/apk/"),
          "/payload/config_path: the text has 4087 bytes" },
        { APP("\"binary\":\"b\",\"encrypted_storage\":\"%s\""), VM_CONFIG_FILE_KEY_MAX,
          "/payload/encrypted_storage: the text has 4096 bytes" },
        { APP("\"binary\":\"b\",\"os\":\"%s\""), 64, "/payload/os: the text has 65 bytes" },
        { APP("\"binary\":\"b\",\"apexes\":[{\"image\":\"m\",\"name\":\"%s\"}]"), PAYLOAD_NAME_MAX,
          "/payload/apexes/0/name: the text has 256 bytes" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_free_ char *most = with_text(cases[i].format, cases[i].max);
        _cleanup_free_ char *more = with_text(cases[i].format, cases[i].max + 1);

        assert_null(vm_config_free(parse(most)));
        assert_refused(more, ERROR_INVALID_CONFIG, cases[i].beginning);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_an_app_is_read),
        cmocka_unit_test(least_app_has_the_defaults),
        cmocka_unit_test(refused_apps_name_the_place),
        cmocka_unit_test(what_the_operating_system_has_is_not_the_apps_to_say),
        cmocka_unit_test(each_number_is_taken_up_to_its_maximum),
        cmocka_unit_test(texts_are_taken_up_to_their_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
