/* SPDX-License-Identifier: Apache-2.0 */
/* "create-payload": a folder as an archive that a guest takes, without any service. Whoever has no
 * key gets one, once for each archive: only who has it can make the next version of the payload. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/json-object.h"
#include "composite-disk/output-file.h"
#include "composite-disk/payload-folder.h"
#include "vmctl/exit-status.h"
#include "vmctl/image-job.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

#define ARCHIVE_SUFFIX ".apk"
#define KEY_SUFFIX     ".pem"
#define COMMON_NAME    "vmctl create-payload" /* of the certificates that are made */

typedef struct Creation {
    const Options *options;
    char *key_path;
    SigningKey *key;
    PayloadFolder payload;
    bool makes_key;                    /* a new one, in @key_file */
    OutputFile zip, archive, key_file; /* the first is dropped in the end */
} Creation;

static void creation_deinit(Creation *creation)
{
    signing_key_free(creation->key);
    payload_folder_deinit(&creation->payload);
    output_file_deinit(&creation->zip);
    output_file_deinit(&creation->archive);
    output_file_deinit(&creation->key_file);
    free(creation->key_path);
}

/* The archive's name with another suffix. */
static char *dup_key_path(const char *archive)
{
    size_t size = strlen(archive), suffix_size = strlen(ARCHIVE_SUFFIX);
    char *path;

    if (size > suffix_size && strcmp(archive + size - suffix_size, ARCHIVE_SUFFIX) == 0)
        size -= suffix_size;
    return asprintf(&path, "%.*s" KEY_SUFFIX, (int)size, archive) < 0 ? NULL : path;
}

static int load_key(Creation *creation, Error *error)
{
    const char *certificate = creation->options->certificate;
    bool made = false;

    int r = signing_key_load(creation->key_path, certificate, &creation->key, error);
    if (r >= 0 && !certificate)
        r = signing_key_complete(creation->key, creation->key_path, COMMON_NAME, &made, error);
    if (r >= 0 && made)
        output_diagnostic("no certificate in '%s': one was made for this archive only, which makes "
                          "it another signer's than the last one",
                          creation->key_path);
    return r;
}

static int make_key(Creation *creation, Error *error)
{
    int r = signing_key_generate(&creation->key, error);

    if (r >= 0)
        r = signing_key_add_certificate(creation->key, COMMON_NAME, error);
    if (r >= 0)
        r = output_file_open(creation->key_path, false, &creation->key_file, error);
    if (r >= 0)
        r = signing_key_write(creation->key, creation->key_file.fd, error);
    return r;
}

static int choose_key(Creation *creation, Error *error)
{
    const Options *options = creation->options;

    if (!options->key && options->certificate)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--cert' needs '--key'");
    creation->key_path = options->key ? strdup(options->key) : dup_key_path(options->output);
    if (!creation->key_path)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    creation->makes_key = !options->key && access(creation->key_path, F_OK) < 0 && errno == ENOENT;
    return 0;
}

static int read_folder(Creation *creation, Error *error)
{
    const Options *options = creation->options;
    const PayloadRequest request = { .folder = options->arguments[0],
                                     .package = options->package,
                                     .version_code = options->version_code };

    int r = payload_folder_read(&request, &creation->payload, error);
    if (r >= 0)
        r = payload_folder_check_outside(&creation->payload, options->output, error);
    if (r >= 0)
        r = payload_folder_check_outside(&creation->payload, creation->key_path, error);
    if (r >= 0 && creation->payload.manifest.package[0] == '\0')
        output_diagnostic(APK_MANIFEST_NAME " of '%s' is text: to a guest the archive has no "
                                            "package and no version",
                          options->arguments[0]);
    return r;
}

static int write_archive(Creation *creation, Error *error)
{
    const Options *options = creation->options;
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;

    int r = output_file_open(options->output, options->force, &creation->archive, error);
    if (r >= 0)
        r = output_file_open(options->output, true, &creation->zip, error);
    if (r >= 0)
        r = creation->makes_key ? make_key(creation, error) : load_key(creation, error);
    if (r >= 0)
        r = payload_folder_write(&creation->payload, creation->key, creation->zip.fd,
                                 creation->archive.fd, NULL, &signature, error);
    if (r < 0)
        return r;
    /* The key is the first: an archive that replaces its old one is worth nothing without. */
    OutputFile *const files[] = { &creation->key_file, &creation->archive };
    size_t first = creation->makes_key ? 0 : 1;
    return output_file_commit_all(files + first, ELEMENTS_OF(files) - first, error);
}

static int create(Creation *creation, Error *error)
{
    if (!creation->options->output)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--output=FILE' is missing");
    int r = choose_key(creation, error);
    if (r >= 0)
        r = read_folder(creation, error);
    return r < 0 ? r : write_archive(creation, error);
}

static int print_json(const Creation *creation, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;
    const ApkManifest *manifest = &creation->payload.manifest;
    const char *package = manifest->package[0] != '\0' ? manifest->package : NULL;

    int r = image_file_describe(creation->options->output, &object, error);
    if (r < 0)
        return r;
    if (json_member_add_string(object, "package", package) < 0 ||
        json_member_add_number(object, "version-code", manifest->version) < 0 ||
        json_member_add_string(object, "key", creation->key_path) < 0 ||
        json_member_add_bool(object, "key-made", creation->makes_key) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    output_json(object, creation->options->json);
    return 0;
}

int verb_create_payload(const Options *options)
{
    _cleanup_(creation_deinit) Creation creation = { .options = options,
                                                     .payload = PAYLOAD_FOLDER_INIT,
                                                     .zip = OUTPUT_FILE_INIT,
                                                     .archive = OUTPUT_FILE_INIT,
                                                     .key_file = OUTPUT_FILE_INIT };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (create(&creation, &error) < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    if (creation.makes_key)
        output_diagnostic("made the key '%s', with its certificate: keep it, the next version of "
                          "this payload has to be signed with it",
                          creation.key_path);
    else if (!options->key)
        output_diagnostic("signed with the key '%s'", creation.key_path);
    if (options->json != JSON_FORMAT_OFF && print_json(&creation, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
