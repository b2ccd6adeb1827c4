/* SPDX-License-Identifier: Apache-2.0 */
/* An APK from anybody, verified and read; and the same bytes as signers and as what they sign,
 * which stand behind a good signature otherwise. */
#include <assert.h>
#include <string.h>

#include "composite-disk/apk-signature.h"
#include "tests/fuzz/fuzz.h"

static void verify(const ByteSource *apk)
{
    static const ApkVerifyOptions options = { .allow_v2 = true, .n_threads = 1 };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const SignatureAlgorithm *algorithm = NULL;
    ApkDigest digest = { 0 };

    int r = apk_signature_read_digest(apk, 0, &digest, &algorithm, NULL);
    if (apk_signature_verify(apk, &options, &signature, &error) < 0) {
        assert(error.kind != ERROR_NONE);
        return;
    }
    assert(r == 0 && algorithm == signature->algorithm);
    assert(digest.size == signature->digest.size &&
           memcmp(digest.bytes, signature->digest.bytes, digest.size) == 0);
}

static void decode(ApkScheme scheme, ByteReader value)
{
    ApkSignedData data;
    ApkSigner signer;
    size_t index;

    if (apk_signer_find(scheme, value, 30, &signer, NULL) == 0) {
        assert(signer.signatures.n <= APK_ALGORITHMS_MAX);
        if (apk_signer_find_strongest(&signer, &index, NULL) == 0)
            assert(index < signer.signatures.n);
        (void)apk_signed_data_decode(scheme, signer.signed_data, &data, NULL);
    }
    if (apk_signed_data_decode(scheme, value, &data, NULL) == 0)
        assert(data.digests.n <= APK_ALGORITHMS_MAX && data.certificate.size <= value.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ByteSource source = byte_source_from_memory(data, size);

    verify(&source);
    decode(APK_SCHEME_V2, byte_reader(data, size));
    decode(APK_SCHEME_V3, byte_reader(data, size));
    return 0;
}
