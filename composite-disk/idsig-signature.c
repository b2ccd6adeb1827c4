/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/idsig-signature.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

int idsig_signature_prepare(IdsigSignature *signature,
                            const SigningKey *key,
                            Idsig *idsig,
                            Error *error)
{
    size_t certificate_size, public_key_size;
    int signature_size = EVP_PKEY_get_size(key->key);

    assert(key->certificate && signature_size > 0 && signature_size <= SIGNATURE_SIZE_MAX);
    *signature = (IdsigSignature){ 0 };
    int r = signing_key_encode(key, &signature->certificate, &certificate_size,
                               &signature->public_key, &public_key_size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot encode the certificate");
    idsig->certificate = byte_reader(signature->certificate, certificate_size);
    idsig->public_key = byte_reader(signature->public_key, public_key_size);
    idsig->signature = byte_reader(signature->bytes, (size_t)signature_size);
    idsig->algorithm = signing_key_get_algorithm(key)->id;
    return 0;
}

void idsig_signature_deinit(IdsigSignature *signature)
{
    free(signature->certificate);
    free(signature->public_key);
    signature->certificate = signature->public_key = NULL;
}

int idsig_signature_make(
    IdsigSignature *signature, const SigningKey *key, uint64_t apk_size, Idsig *idsig, Error *error)
{
    uint8_t data[IDSIG_SIGNED_DATA_MAX];
    ByteWriter writer = byte_writer(data, sizeof(data));
    size_t size;

    int r = idsig_encode_signed_data(idsig, apk_size, &writer);
    if (r < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the certificate of %zu bytes is too large for an idsig",
                         idsig->certificate.size);
    r = signing_key_sign(key, signing_key_get_algorithm(key), data, writer.size, signature->bytes,
                         &size, error);
    if (r < 0)
        return r;
    idsig->signature = byte_reader(signature->bytes, size);
    return 0;
}

bool idsig_is_signed(const Idsig *idsig)
{
    return idsig->signature.size > 0 || idsig->certificate.size > 0 || idsig->public_key.size > 0;
}

int idsig_signature_verify(const Idsig *idsig, uint64_t apk_size, Error *error)
{
    const SignatureAlgorithm *algorithm = signature_algorithm_find(idsig->algorithm);
    uint8_t data[IDSIG_SIGNED_DATA_MAX];
    ByteWriter writer = byte_writer(data, sizeof(data));

    if (!algorithm)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig's signature algorithm 0x%" PRIx32 " is not known",
                         idsig->algorithm);
    if (idsig_encode_signed_data(idsig, apk_size, &writer) < 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the idsig signs too much");
    int r = certificate_check_key(idsig->certificate.data, idsig->certificate.size,
                                  idsig->public_key.data, idsig->public_key.size, error);
    if (r < 0)
        return r;
    return signature_verify(idsig->public_key.data, idsig->public_key.size, algorithm, data,
                            writer.size, idsig->signature.data, idsig->signature.size, error);
}
