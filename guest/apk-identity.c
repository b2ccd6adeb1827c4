/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/apk-identity.h"

#include <openssl/sha.h>
#include <string.h>

#include "composite-disk/apk-idsig.h"
#include "composite-disk/apk-manifest.h"
#include "composite-disk/apk-signature.h"
#include "composite-disk/zip-reader.h"
#include "composite-disk/zip-sections.h"

static int check_idsig(const ByteSource *apk,
                       const ApkSignature *signature,
                       ByteReader header,
                       Error *error)
{
    const IdsigApk described = apk_idsig_describe(apk, signature);
    Idsig idsig;

    int r = idsig_decode(header.data, header.size, &idsig, error);
    if (r < 0)
        return r;
    if (idsig.tree_offset != header.size)
        return error_set(error, ERROR_IMAGE_INVALID, "the idsig's header has bytes of its tree");
    return idsig_check_apk(&idsig, &described, error);
}

/* An archive without a manifest has no package, and its version is 0. */
static int read_manifest(const ByteSource *apk, ApkIdentity *identity, Error *error)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ApkManifest manifest;
    bool is_there;

    int r = zip_reader_new(apk, &reader, error);
    if (r >= 0)
        r = apk_manifest_read(reader, &manifest, &is_there, error);
    if (r < 0)
        return r;
    _Static_assert(sizeof(manifest.package) <= sizeof(identity->package), "any package fits");
    memcpy(identity->package, manifest.package, sizeof(manifest.package));
    identity->version = manifest.version;
    return 0;
}

int apk_identity_verify(const ByteSource *partition,
                        ByteReader idsig_header,
                        ApkIdentity *ret_identity,
                        Error *error)
{
    const ApkVerifyOptions options = { 0 };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    ApkIdentity identity = { 0 };
    ByteSource apk;

    int r = zip_cut_tail(partition, &apk, error);
    if (r >= 0)
        r = apk_signature_verify(&apk, &options, &signature, error);
    if (r >= 0)
        r = check_idsig(&apk, signature, idsig_header, error);
    if (r >= 0)
        r = read_manifest(&apk, &identity, error);
    if (r < 0)
        return r;
    _Static_assert(IDENTITY_HASH_SIZE == SHA512_DIGEST_LENGTH, "of SHA-512");
    if (!SHA512(signature->certificate, signature->certificate_size, identity.certificate_hash))
        return error_set(error, ERROR_FAILED, "cannot hash the certificate");

    *ret_identity = identity;
    return 0;
}
