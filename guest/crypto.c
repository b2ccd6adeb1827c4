/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto.h"

#include <errno.h>
#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <mbedtls/rsa.h>
#include <stdbool.h>
#include <string.h>

#include "common/random.h"

#define KEY_BITS (CRYPTO_KEY_SIZE * 8)

/* 65537, big-endian. */
static const uint8_t public_exponent[] = { 0x01, 0x00, 0x01 };

static mbedtls_md_type_t hash_get_type(CryptoHash hash)
{
    return hash == CRYPTO_SHA512 ? MBEDTLS_MD_SHA512 : MBEDTLS_MD_SHA256;
}

size_t crypto_hash_get_size(CryptoHash hash)
{
    return hash == CRYPTO_SHA512 ? CRYPTO_SHA512_SIZE : CRYPTO_SHA256_SIZE;
}

int crypto_hash(CryptoHash hash, const CryptoBytes *parts, size_t n_parts, uint8_t *ret_digest)
{
    mbedtls_md_context_t context;

    mbedtls_md_init(&context);
    int r = mbedtls_md_setup(&context, mbedtls_md_info_from_type(hash_get_type(hash)), 0);
    if (r == 0)
        r = mbedtls_md_starts(&context);
    for (size_t i = 0; r == 0 && i < n_parts; i++)
        r = mbedtls_md_update(&context, parts[i].data, parts[i].size);
    if (r == 0)
        r = mbedtls_md_finish(&context, ret_digest);
    mbedtls_md_free(&context);
    return r == 0 ? 0 : -ENOMEM;
}

int crypto_derive(CryptoHash hash,
                  CryptoBytes key,
                  CryptoBytes salt,
                  CryptoBytes info,
                  uint8_t *ret_bytes,
                  size_t size)
{
    int r = mbedtls_hkdf(mbedtls_md_info_from_type(hash_get_type(hash)), salt.data, salt.size,
                         key.data, key.size, info.data, info.size, ret_bytes, size);

    if (r == MBEDTLS_ERR_HKDF_BAD_INPUT_DATA)
        return -EINVAL;
    return r == 0 ? 0 : -ENOMEM;
}

static int gcm_begin(mbedtls_gcm_context *context, const uint8_t *key)
{
    mbedtls_gcm_init(context);
    return mbedtls_gcm_setkey(context, MBEDTLS_CIPHER_ID_AES, key, KEY_BITS) == 0 ? 0 : -ENOMEM;
}

int crypto_seal(const uint8_t key[static CRYPTO_KEY_SIZE],
                CryptoBytes more,
                CryptoBytes plain,
                uint8_t *ret_sealed)
{
    uint8_t *text = ret_sealed + CRYPTO_NONCE_SIZE;
    mbedtls_gcm_context context;

    int r = random_fill(ret_sealed, CRYPTO_NONCE_SIZE);
    if (r < 0)
        return r;
    r = gcm_begin(&context, key);
    if (r >= 0 && mbedtls_gcm_crypt_and_tag(&context, MBEDTLS_GCM_ENCRYPT, plain.size, ret_sealed,
                                            CRYPTO_NONCE_SIZE, more.data, more.size, plain.data,
                                            text, CRYPTO_TAG_SIZE, text + plain.size) != 0)
        r = -EINVAL;
    mbedtls_gcm_free(&context);
    return r;
}

int crypto_open(const uint8_t key[static CRYPTO_KEY_SIZE],
                CryptoBytes more,
                CryptoBytes sealed,
                uint8_t *ret_plain)
{
    mbedtls_gcm_context context;

    if (sealed.size < CRYPTO_SEALED_MORE)
        return -EBADMSG;
    const uint8_t *nonce = sealed.data, *text = nonce + CRYPTO_NONCE_SIZE;
    size_t size = sealed.size - CRYPTO_SEALED_MORE;
    int r = gcm_begin(&context, key);
    if (r >= 0) {
        r = mbedtls_gcm_auth_decrypt(&context, size, nonce, CRYPTO_NONCE_SIZE, more.data, more.size,
                                     text + size, CRYPTO_TAG_SIZE, text, ret_plain);
        if (r != 0)
            r = r == MBEDTLS_ERR_GCM_AUTH_FAILED ? -EBADMSG : -EINVAL;
    }
    mbedtls_gcm_free(&context);
    if (r < 0)
        memset(ret_plain, 0, size);
    return r;
}

/* Errors of the numbers below RSA come added to its own, which are multiples of 128. */
static bool is_out_of_memory(int r)
{
    return -r % 0x80 == -MBEDTLS_ERR_MPI_ALLOC_FAILED;
}

int crypto_verify_rsa(CryptoBytes modulus,
                      CryptoHash hash,
                      const uint8_t *digest,
                      CryptoBytes signature)
{
    mbedtls_rsa_context context;

    mbedtls_rsa_init(&context, MBEDTLS_RSA_PKCS_V15, MBEDTLS_MD_NONE);
    int r = mbedtls_rsa_import_raw(&context, modulus.data, modulus.size, NULL, 0, NULL, 0, NULL, 0,
                                   public_exponent, sizeof(public_exponent));
    if (r == 0)
        r = mbedtls_rsa_complete(&context);
    if (r == 0)
        r = mbedtls_rsa_check_pubkey(&context);
    if (r == 0 && mbedtls_rsa_get_len(&context) != signature.size)
        r = MBEDTLS_ERR_RSA_VERIFY_FAILED;
    if (r == 0)
        r = mbedtls_rsa_pkcs1_verify(&context, NULL, NULL, MBEDTLS_RSA_PUBLIC, hash_get_type(hash),
                                     (unsigned)crypto_hash_get_size(hash), digest, signature.data);
    mbedtls_rsa_free(&context);
    if (is_out_of_memory(r))
        return -ENOMEM;
    return r == 0 ? 0 : -EBADMSG;
}
