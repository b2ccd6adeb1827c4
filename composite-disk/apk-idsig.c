/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-idsig.h"

int apk_idsig_update(
    int apk_fd, int idsig_fd, const Progress *progress, bool *ret_written, Error *error)
{
    const IdsigOptions options = { .progress = progress };
    const SignatureAlgorithm *algorithm;
    IdsigApk apk = { 0 };
    ApkDigest digest;

    int r = byte_source_from_fd(apk_fd, "APK", &apk.source, error);
    if (r >= 0)
        r = apk_signature_read_digest(&apk.source, APK_SDK_NEWEST, &digest, &algorithm, error);
    if (r < 0)
        return r;
    apk.digest = byte_reader(digest.bytes, digest.size);
    apk.algorithm = algorithm->id;
    return idsig_file_update(&apk, &options, idsig_fd, ret_written, error);
}

IdsigApk apk_idsig_describe(const ByteSource *apk, const ApkSignature *signature)
{
    return (IdsigApk){
        .source = *apk,
        .digest = byte_reader(signature->digest.bytes, signature->digest.size),
        .algorithm = signature->algorithm->id,
        .certificate = byte_reader(signature->certificate, signature->certificate_size),
    };
}
