/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define FOLDER "my-app" /* in the fixture's directory */

typedef struct Fixture {
    char top[40], folder[60], file[80], manifest[80]; /* paths */
} Fixture;

static int set_up(void **state)
{
    static Fixture fixture;

    strcpy(fixture.top, "/tmp/test-payload-folder-XXXXXX");
    assert_non_null(mkdtemp(fixture.top));
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "%s/" FOLDER, fixture.top);
    (void)snprintf(fixture.file, sizeof(fixture.file), "%s/file", fixture.folder);
    (void)snprintf(fixture.manifest, sizeof(fixture.manifest), "%s/" APK_MANIFEST_NAME,
                   fixture.folder);
    assert_int_equal(mkdir(fixture.folder, 0700), 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const Fixture *fixture = *state;

    (void)unlink(fixture->file); /* not all tests make them */
    (void)unlink(fixture->manifest);
    (void)rmdir(fixture->folder);
    return rmdir(fixture->top);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const PayloadRequest *request, int number, const char *words)
{
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(payload_folder_read(request, &payload, &error), number);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void assert_manifest(const PayloadRequest *request, const char *package, uint64_t version)
{
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;

    assert_int_equal(payload_folder_read(request, &payload, NULL), 0);
    assert_string_equal(payload.manifest.package, package);
    assert_int_equal(payload.manifest.version, version);
}

static void a_manifest_says_what_is_asked_for(void **state)
{
    const Fixture *fixture = *state;
    PayloadRequest request = { .folder = fixture->folder };

    write_file(fixture->file, "x", 1);
    assert_manifest(&request, "payload.my_app", 1);
    request.version_code = "9223372036854775807";
    assert_manifest(&request, "payload.my_app", INT64_MAX);
    request.version_code = "0";
    request.package = "com.example";
    assert_manifest(&request, "com.example", 0);
    request.package = "com";
    assert_refused(&request, -EINVAL, "'com' is no name of a package");
    request.package = NULL;
    request.version_code = "9223372036854775808";
    assert_refused(&request, -EINVAL, "'--version-code' takes a number up to");
    request.version_code = "1.0";
    assert_refused(&request, -EINVAL, "not '1.0'");
}

/* Folders of any name, renamed to it and back. */
static void a_package_is_made_of_any_name(void **state)
{
    static const struct {
        const char *name, *package;
    } cases[] = {
        { "app", "payload.app" },      { "App_2", "payload.App_2" }, { "a.b c", "payload.a_b_c" },
        { "2048", "payload.x2048" },   { "_x", "payload.x_x" },      { "...", "payload.x___" },
        { "\303\274", "payload.x__" },
    };
    const Fixture *fixture = *state;
    char path[200];

    write_file(fixture->file, "x", 1);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const PayloadRequest request = { .folder = path };

        (void)snprintf(path, sizeof(path), "%s/%s", fixture->top, cases[i].name);
        assert_int_equal(rename(fixture->folder, path), 0);
        assert_manifest(&request, cases[i].package, 1);
        strcat(path, "/.");
        assert_manifest(&request, cases[i].package, 1);
        path[strlen(path) - 2] = '\0';
        assert_int_equal(rename(path, fixture->folder), 0);
    }
}

static void the_longest_name_fits(void **state)
{
    const Fixture *fixture = *state;
    char path[340], package[APK_PACKAGE_MAX + 1];
    const PayloadRequest request = { .folder = path };

    write_file(fixture->file, "x", 1);
    (void)snprintf(path, sizeof(path), "%s/%0255d", fixture->top, 0);
    (void)snprintf(package, sizeof(package), "payload.x%0*d", APK_PACKAGE_MAX - 9, 0);
    assert_int_equal(rename(fixture->folder, path), 0);
    assert_manifest(&request, package, 1);
    assert_int_equal(rename(path, fixture->folder), 0);
}

static void a_manifest_of_the_folder_stays(void **state)
{
    const Fixture *fixture = *state;
    const ApkManifest manifest = { .package = "com.example.own", .version = 7 };
    PayloadRequest request = { .folder = fixture->folder };
    uint8_t bytes[APK_MANIFEST_ROOM];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    assert_int_equal(apk_manifest_encode(&manifest, &writer), 0);
    write_file(fixture->manifest, bytes, writer.size);
    assert_manifest(&request, "com.example.own", 7);
    request.package = "com.example";
    assert_refused(&request, -EINVAL, "'--package' goes only with a folder that has no");
    request.package = NULL;
    request.version_code = "1";
    assert_refused(&request, -EINVAL, "'--version-code' goes only with");
    request.version_code = NULL;
    write_file(fixture->manifest, bytes, writer.size - 1);
    assert_refused(&request, -EBADMSG, "AndroidManifest.xml: it is cut short");
    write_file(fixture->manifest, "<manifest/>", 11);
    assert_manifest(&request, "", 0);
}

static void what_is_in_the_folder_is_told_from_what_is_not(void **state)
{
    static const struct {
        const char *path;
        int number;
    } cases[] = {
        { "x", 0 },
        { "my-app.apk", 0 },
        { "my-app", -EINVAL },
        { "my-app/", -EINVAL },
        { "my-app/x", -EINVAL },
        { "my-app/file", -EINVAL },
        { "my-app/../x", 0 },
        { "./my-app/./x", -EINVAL },
        { "missing/x", 0 },
    };
    const Fixture *fixture = *state;
    const PayloadRequest request = { .folder = fixture->folder };
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;
    _cleanup_free_ char *before = realpath(".", NULL);

    write_file(fixture->file, "x", 1);
    assert_int_equal(payload_folder_read(&request, &payload, NULL), 0);
    assert_int_equal(chdir(fixture->top), 0);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        if (payload_folder_check_outside(&payload, cases[i].path, NULL) != cases[i].number)
            fail_msg("%s", cases[i].path);
    }
    /* By way of a link, too. */
    assert_int_equal(symlink(FOLDER, "link"), 0);
    assert_int_equal(payload_folder_check_outside(&payload, "link/x", NULL), -EINVAL);
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(chdir(fixture->folder), 0);
    assert_int_equal(payload_folder_check_outside(&payload, "x", NULL), -EINVAL);
    assert_int_equal(payload_folder_check_outside(&payload, "../x", NULL), 0);
    assert_int_equal(chdir(before), 0);
}

static void an_archive_has_the_manifest_and_is_signed(void **state)
{
    const Fixture *fixture = *state;
    const PayloadRequest request = { .folder = fixture->folder, .version_code = "3" };
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;
    _cleanup_close_ int zip_fd = memfd_create("zip", MFD_CLOEXEC);
    _cleanup_close_ int apk_fd = memfd_create("apk", MFD_CLOEXEC);
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ApkManifest manifest;
    ByteSource source;
    bool is_there;

    write_file(fixture->file, "x", 1);
    assert_int_equal(payload_folder_read(&request, &payload, NULL), 0);
    assert_int_equal(payload_folder_count(&payload), 2);
    assert_int_equal(signing_key_generate(&key, NULL), 0);
    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    assert_int_equal(payload_folder_write(&payload, key, zip_fd, apk_fd, NULL, &signature, NULL),
                     0);
    assert_int_equal(byte_source_from_fd(apk_fd, "APK", &source, NULL), 0);
    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    assert_int_equal(reader->n_entries, 2);
    assert_int_equal(apk_manifest_read(reader, &manifest, &is_there, NULL), 0);
    assert_true(is_there);
    assert_string_equal(manifest.package, "payload.my_app");
    assert_int_equal(manifest.version, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_manifest_says_what_is_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_package_is_made_of_any_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_name_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_manifest_of_the_folder_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_the_folder_is_told_from_what_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_archive_has_the_manifest_and_is_signed, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
