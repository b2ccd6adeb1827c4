/* SPDX-License-Identifier: Apache-2.0 */
/* "apk sign" and "apk verify": who a zip comes from. */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "common/fd.h"
#include "composite-disk/apk-signing.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/key-option.h"
#include "composite-disk/tool/verbs.h"
#include "composite-disk/zip-reader.h"

static int add_signature(struct json_object *result, const ApkSignature *signature, Error *error)
{
    uint8_t certificate_hash[SHA256_DIGEST_LENGTH];

    if (EVP_Q_digest(NULL, "SHA256", NULL, signature->certificate, signature->certificate_size,
                     certificate_hash, NULL) != 1)
        return error_set(error, ERROR_FAILED, "OpenSSL has no SHA-256");
    tool_add_string(result, "scheme", signature->scheme == APK_SCHEME_V2 ? "v2" : "v3");
    tool_add_string(result, "algorithm", signature->algorithm->name);
    tool_add_hex(result, "certificate-sha256", certificate_hash, sizeof(certificate_hash));
    tool_add_hex(result, "public-key", signature->public_key, signature->public_key_size);
    tool_add_hex(result, "digest", signature->digest.bytes, signature->digest.size);
    return 0;
}

/* A guest that could not mount it would refuse it later, and say less of it. */
static int check_zip(const ByteSource *zip, Error *error)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;

    return zip_reader_new(zip, &reader, error);
}

/* --- sign --- */

static int run_sign(ToolCall *call, Error *error)
{
    const char *path = call->arguments[0], *output = tool_get_option(call, "output");
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    _cleanup_close_ int fd = -EBADF;
    ByteSource apk;

    int r = key_option_load(call, &key, error);
    if (r < 0)
        return r;
    r = byte_source_open(path, &apk, error);
    if (r < 0)
        return r;
    fd = apk.fd;
    r = check_zip(&apk, error);
    if (r >= 0)
        r = output_file_open(output ? output : path, !output || tool_get_option(call, "force"),
                             &file, error);
    if (r >= 0)
        r = apk_sign(&apk, key, file.fd, call->progress, &signature, error);
    if (r >= 0)
        r = output_file_commit(&file, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", output ? output : path);
    return add_signature(call->result, signature, error);
}

/* --- verify --- */

static int run_verify(ToolCall *call, Error *error)
{
    ApkVerifyOptions options = { .allow_v2 = tool_get_option(call, "v2") != NULL,
                                 .progress = call->progress };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_close_ int fd = -EBADF;
    ByteSource apk;
    uint64_t sdk;

    int r = tool_get_number(call, "sdk", APK_SDK_NEWEST, APK_SDK_NEWEST, &sdk, error);
    if (r < 0)
        return r;
    options.sdk = (uint32_t)sdk;
    r = byte_source_open(call->arguments[0], &apk, error);
    if (r < 0)
        return r;
    fd = apk.fd;
    if (tool_get_option(call, "padded"))
        r = zip_cut_tail(&apk, &apk, error);
    if (r >= 0)
        r = check_zip(&apk, error);
    if (r >= 0)
        r = apk_signature_verify(&apk, &options, &signature, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", call->arguments[0]);
    return add_signature(call->result, signature, error);
}

const ToolVerb apk_verbs[] = {
    { .name = "apk sign",
      .arguments = "APK",
      .summary = "sign a zip file with APK Signature Scheme v3",
      .n_min = 1,
      .n_max = 1,
      .options = { { "key", 'k', "FILE", "the private key, in PEM: RSA or EC" },
                   { "cert", 'c', "FILE",
                     "its certificate, in PEM (default: the key's file's, or a new one)" },
                   { "output", 'o', "FILE", "write there (default: replace the APK)" },
                   { "force", 'f', NULL, "replace an output that is there" } },
      .run = run_sign },
    { .name = "apk verify",
      .arguments = "APK",
      .summary = "check an APK's signature and contents",
      .n_min = 1,
      .n_max = 1,
      .options = { { "v2", '2', NULL, "take one of scheme v2 where there is none of v3" },
                   { "sdk", 0, "NUMBER", "the Android version to check for (default: the newest)" },
                   { "padded", 0, NULL, "the file ends with zeros, as a partition does" } },
      .run = run_verify },
    { .name = NULL },
};
