/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from vbmeta.c: a guest reads the format without OpenSSL. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/cleanup.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/signing-key.h"
#include "composite-disk/vbmeta-header.h"
#include "composite-disk/vbmeta.h"

int vbmeta_hash(const VbmetaAlgorithm *algorithm,
                const uint8_t *bytes,
                size_t size,
                uint8_t *ret_hash)
{
    const EVP_MD *hash = algorithm->hash_size == 64 ? EVP_sha512() : EVP_sha256();

    return EVP_Digest(bytes, size, ret_hash, NULL, hash, NULL) == 1 ? 0 : -ENOMEM;
}

int vbmeta_verify(const Vbmeta *vbmeta, const AvbBytes *trusted, Error *error)
{
    const VbmetaAlgorithm *algorithm = vbmeta->algorithm;
    _cleanup_free_ uint8_t *bytes = NULL, *key = NULL;
    uint8_t hash[EVP_MAX_MD_SIZE];
    size_t size, key_size;

    if (algorithm->key_bits == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the vbmeta structure is not signed");
    if (trusted && !avb_bytes_equal(*trusted, vbmeta->public_key))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure is signed with another key");

    size_t authentication_size =
        (size_t)vbmeta_header_decode(vbmeta->data.data).authentication_size; /* was checked */
    bytes =
        vbmeta_dup_signed_bytes(vbmeta->data.data, vbmeta->data.size, authentication_size, &size);
    if (!bytes || vbmeta_hash(algorithm, bytes, size, hash) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (CRYPTO_memcmp(hash, vbmeta->hash.data, vbmeta->hash.size) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure was altered: its hash is another");
    int r = avb_public_key_to_der(vbmeta->public_key.data, vbmeta->public_key.size, &key, &key_size,
                                  error);
    if (r < 0)
        return r;
    return signature_verify(key, key_size, signature_algorithm_find(algorithm->signature), bytes,
                            size, vbmeta->signature.data, vbmeta->signature.size, error);
}
