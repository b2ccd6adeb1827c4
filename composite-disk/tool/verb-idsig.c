/* SPDX-License-Identifier: Apache-2.0 */
/* "idsig create" and "idsig verify": the hash tree beside an APK. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/idsig-signature.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/verbs.h"

#define SUFFIX ".idsig"

static char *dup_default_path(const char *apk)
{
    char *path;

    return asprintf(&path, "%s" SUFFIX, apk) < 0 ? NULL : path;
}

static int open_apk(const char *path, int *ret_fd, ByteSource *ret_source, Error *error)
{
    int r = byte_source_open(path, ret_source, error);

    if (r >= 0)
        *ret_fd = ret_source->fd;
    return r;
}

/* --- create --- */

typedef struct Creation {
    ByteSource apk;
    ApkSignature *signature; /* NULL when the idsig is not signed */
    SigningKey *key;
    ApkDigest digest;
    IdsigApk described;
    bool force, is_signed;
} Creation;

static void creation_deinit(Creation *creation)
{
    (void)apk_signature_free(creation->signature);
    (void)signing_key_free(creation->key);
}

/* A reader compares the certificate of the idsig with the APK's: it is that one. */
static int take_signer(const ToolCall *call, const char *key, Creation *creation, Error *error)
{
    const ApkVerifyOptions options = { .progress = call->progress };
    _cleanup_(error_clear) Error reason = ERROR_INIT;

    int r = apk_signature_verify(&creation->apk, &options, &creation->signature, error);
    if (r >= 0)
        r = signing_key_load(key, NULL, &creation->key, error);
    if (r < 0)
        return r;
    if (signing_key_set_certificate(creation->key, creation->signature->certificate,
                                    creation->signature->certificate_size, &reason) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the APK is signed with another key than '%s'", key);
    creation->described = apk_idsig_describe(&creation->apk, creation->signature);
    return 0;
}

static int take_digest(Creation *creation, Error *error)
{
    const SignatureAlgorithm *algorithm;

    int r = apk_signature_read_digest(&creation->apk, APK_SDK_NEWEST, &creation->digest, &algorithm,
                                      error);
    if (r < 0)
        return r;
    creation->described =
        (IdsigApk){ .source = creation->apk,
                    .digest = byte_reader(creation->digest.bytes, creation->digest.size),
                    .algorithm = algorithm->id };
    return 0;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat one, other;

    return fstat(fd, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* 1 when @path is current, 0 when it is not there or may be replaced. Another idsig may, as a build
 * makes it again and again; anything else only with --force. */
static int look_at_output(Creation *creation, const char *path, Error *error)
{
    uint8_t header[IDSIG_HEADER_MAX];
    _cleanup_(error_clear) Error reason = ERROR_INIT;
    _cleanup_close_ int fd = -EBADF;
    ByteSource source;
    Idsig idsig;

    if (is_same_file(creation->apk.fd, path))
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' is the APK itself", path);
    creation->is_signed = creation->key != NULL;
    if (creation->force || faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int r = open_apk(path, &fd, &source, error);
    if (r < 0)
        return r;
    if (idsig_file_read(&source, header, &idsig, &reason) < 0)
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s' is there and no idsig (%s); --force replaces it", path,
                         error_get_message(&reason));
    if (!idsig_is_current(&idsig, &creation->described) ||
        (creation->key && idsig_signature_verify(&idsig, creation->apk.size, NULL) < 0))
        return 0;
    creation->is_signed = idsig_is_signed(&idsig);
    return 1;
}

static int write_output(const ToolCall *call, Creation *creation, const char *path, Error *error)
{
    const IdsigOptions options = { .key = creation->key, .progress = call->progress };
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;

    int r = output_file_open(path, true, &file, error);
    if (r >= 0)
        r = idsig_file_write(&creation->described, &options, file.fd, error);
    return r < 0 ? r : output_file_commit(&file, error);
}

static int run_create(ToolCall *call, Error *error)
{
    const char *path = call->arguments[0], *output = tool_get_option(call, "output");
    const char *key = tool_get_option(call, "key");
    _cleanup_(creation_deinit)
        Creation creation = { .force = tool_get_option(call, "force") != NULL };
    _cleanup_free_ char *default_path = output ? NULL : dup_default_path(path);
    _cleanup_close_ int fd = -EBADF;

    output = output ? output : default_path;
    if (!output)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = open_apk(path, &fd, &creation.apk, error);
    if (r >= 0)
        r = key ? take_signer(call, key, &creation, error) : take_digest(&creation, error);
    if (r < 0)
        return r;
    int is_current = look_at_output(&creation, output, error);
    if (is_current < 0)
        return is_current;
    if (!is_current) {
        r = write_output(call, &creation, output, error);
        if (r < 0)
            return r;
    }
    tool_add_string(call->result, "idsig", output);
    tool_add_string(call->result, "state", is_current ? "up to date" : "written");
    tool_add_bool(call->result, "signed", creation.is_signed);
    tool_add_hex(call->result, "apk-digest", creation.described.digest.data,
                 creation.described.digest.size);
    return 0;
}

/* --- verify --- */

static int run_verify(ToolCall *call, Error *error)
{
    const char *path = call->arguments[0];
    const ApkVerifyOptions apk_options = { .allow_v2 = tool_get_option(call, "v2") != NULL,
                                           .progress = call->progress };
    const IdsigOptions options = { .progress = call->progress };
    _cleanup_free_ char *default_path = call->n_arguments > 1 ? NULL : dup_default_path(path);
    const char *idsig_path = default_path ? default_path : call->arguments[1];
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_close_ int apk_fd = -EBADF, idsig_fd = -EBADF;
    ByteSource apk, idsig;
    IdsigFacts facts;

    if (!idsig_path)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = open_apk(path, &apk_fd, &apk, error);
    if (r >= 0)
        r = open_apk(idsig_path, &idsig_fd, &idsig, error);
    if (r >= 0)
        r = apk_signature_verify(&apk, &apk_options, &signature, error);
    if (r < 0)
        return r;
    const IdsigApk described = apk_idsig_describe(&apk, signature);
    r = idsig_file_verify(&described, &options, &idsig, &facts, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", path);
    tool_add_string(call->result, "idsig", idsig_path);
    tool_add_hex(call->result, "apk-digest", described.digest.data, described.digest.size);
    tool_add_hex(call->result, "root-hash", facts.root, sizeof(facts.root));
    tool_add_number(call->result, "tree-size", facts.tree_size);
    tool_add_bool(call->result, "signed", facts.is_signed);
    if (facts.is_signed)
        tool_add_string(call->result, "algorithm", signature_algorithm_find(facts.algorithm)->name);
    return 0;
}

const ToolVerb idsig_verbs[] = {
    { .name = "idsig create",
      .arguments = "APK",
      .summary = "make or renew the idsig (signature scheme v4) of a signed APK",
      .n_min = 1,
      .n_max = 1,
      .options = { { "key", 'k', "FILE", "sign it too, with the APK's own key, in PEM" },
                   { "output", 'o', "FILE", "write there (default: APK.idsig)" },
                   { "force", 'f', NULL, "make it anew, whatever is there" } },
      .run = run_create },
    { .name = "idsig verify",
      .arguments = "APK [IDSIG]",
      .summary = "check an APK, and all of its idsig against it",
      .n_min = 1,
      .n_max = 2,
      .options = { { "v2", '2', NULL, "take an APK signed with scheme v2 only" } },
      .run = run_verify },
    { .name = NULL },
};
