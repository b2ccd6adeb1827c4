/* SPDX-License-Identifier: Apache-2.0 */
/* "payload create": a folder as an APK that a guest takes, with all that belongs to it. */
#include <stdio.h>
#include <stdlib.h>

#include "common/fd.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/output-file.h"
#include "composite-disk/payload-folder.h"
#include "composite-disk/tool/key-option.h"
#include "composite-disk/tool/verbs.h"

typedef struct Outputs {
    OutputFile zip; /* dropped in the end */
    OutputFile apk, idsig;
} Outputs;

static void outputs_deinit(Outputs *outputs)
{
    output_file_deinit(&outputs->zip);
    output_file_deinit(&outputs->apk);
    output_file_deinit(&outputs->idsig);
}

static int open_outputs(
    const char *path, const char *idsig_path, bool force, Outputs *outputs, Error *error)
{
    int r = output_file_open(path, force, &outputs->apk, error);

    if (r >= 0)
        r = output_file_open(idsig_path, force, &outputs->idsig, error);
    return r < 0 ? r : output_file_open(path, true, &outputs->zip, error);
}

static int write_outputs(const ToolCall *call,
                         const PayloadFolder *payload,
                         const SigningKey *key,
                         Outputs *outputs,
                         ApkSignature **ret_signature,
                         Error *error)
{
    const IdsigOptions options = { .key = key, .progress = call->progress };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    ByteSource apk;

    int r = payload_folder_write(payload, key, outputs->zip.fd, outputs->apk.fd, call->progress,
                                 &signature, error);
    if (r >= 0)
        r = byte_source_from_fd(outputs->apk.fd, "APK", &apk, error);
    if (r < 0)
        return r;
    const IdsigApk described = apk_idsig_describe(&apk, signature);
    r = idsig_file_write(&described, &options, outputs->idsig.fd, error);
    if (r < 0)
        return r;
    tool_add_number(call->result, "size", apk.size);
    *ret_signature = TAKE_PTR(signature);
    return 0;
}

/* Neither what is made nor the key gets into the archive. */
static int read_payload(const ToolCall *call, PayloadFolder *ret_payload, Error *error)
{
    const PayloadRequest request = { .folder = call->arguments[0],
                                     .package = tool_get_option(call, "package"),
                                     .version_code = tool_get_option(call, "version-code") };
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;

    int r = payload_folder_read(&request, &payload, error);
    if (r >= 0)
        r = payload_folder_check_outside(&payload, tool_get_option(call, "output"), error);
    if (r >= 0)
        r = payload_folder_check_outside(&payload, tool_get_option(call, "key"), error);
    if (r < 0)
        return r;
    *ret_payload = payload;
    payload = (PayloadFolder)PAYLOAD_FOLDER_INIT;
    return 0;
}

static int run_create(ToolCall *call, Error *error)
{
    const char *path = tool_get_option(call, "output");
    bool force = tool_get_option(call, "force") != NULL;
    _cleanup_(outputs_deinit)
        Outputs outputs = { OUTPUT_FILE_INIT, OUTPUT_FILE_INIT, OUTPUT_FILE_INIT };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;
    _cleanup_free_ char *idsig_path = NULL;

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--output=FILE' is missing");
    if (asprintf(&idsig_path, "%s.idsig", path) < 0) {
        idsig_path = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    int r = key_option_load(call, &key, error);
    if (r >= 0)
        r = read_payload(call, &payload, error);
    if (r >= 0)
        r = open_outputs(path, idsig_path, force, &outputs, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", path);
    tool_add_string(call->result, "idsig", idsig_path);
    tool_add_number(call->result, "entries", payload_folder_count(&payload));
    tool_add_string(call->result, "package", payload.manifest.package);
    tool_add_number(call->result, "version-code", payload.manifest.version);
    r = write_outputs(call, &payload, key, &outputs, &signature, error);
    /* An old APK that is to be replaced stays if its new idsig, which can be made again, goes. */
    if (r >= 0)
        r = output_file_commit_all((OutputFile *const[]){ &outputs.idsig, &outputs.apk }, 2, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "algorithm", signature->algorithm->name);
    tool_add_hex(call->result, "apk-digest", signature->digest.bytes, signature->digest.size);
    return 0;
}

const ToolVerb payload_verbs[] = {
    { .name = "payload create",
      .arguments = "FOLDER",
      .summary = "make a signed APK and its signed idsig from a folder",
      .n_min = 1,
      .n_max = 1,
      .options = { { "key", 'k', "FILE", "the private key, in PEM: RSA or EC" },
                   { "cert", 'c', "FILE",
                     "its certificate, in PEM (default: the key's file's, or a new one)" },
                   { "package", 0, "NAME", "of the manifest (default: \"payload.\" and FOLDER)" },
                   { "version-code", 0, "N", "of the manifest (default: 1)" },
                   { "output", 'o', "APK", "write there, and APK.idsig beside it" },
                   { "force", 'f', NULL, "replace outputs that are there" } },
      .run = run_create },
    { .name = NULL },
};
