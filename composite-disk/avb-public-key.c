/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-public-key.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/signing-key.h"

#define PUBLIC_EXPONENT 65537
#define WORD_BITS       32

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);
DEFINE_CLEANUP(BIGNUM, BN_free);
DEFINE_CLEANUP(BN_CTX, BN_CTX_free);
DEFINE_CLEANUP(BIO, BIO_free);
DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);
DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);

/* The inverse is found by Newton's method: each step doubles the bits that are right, and an odd
 * number is its own inverse in the lowest three. */
static uint32_t negative_inverse(uint32_t n)
{
    uint32_t inverse = n;

    for (unsigned right = 3; right < WORD_BITS; right *= 2)
        inverse *= 2 - n * inverse;
    return -inverse;
}

/* @modulus is odd and has exactly @bits bits. */
static int encode_modulus(const BIGNUM *modulus, int bits, AvbPublicKey *ret_key)
{
    _cleanup_(BN_CTX_freep) BN_CTX *context = BN_CTX_new();
    _cleanup_(BN_freep) BIGNUM *square = BN_new();
    uint8_t bytes[8192 / 8];
    uint32_t lowest = 0;

    if (!context || !square || BN_set_bit(square, 2 * bits) != 1 ||
        BN_mod(square, square, modulus, context) != 1 ||
        BN_bn2binpad(modulus, bytes, bits / 8) != bits / 8)
        return -ENOMEM;
    ByteWriter writer = byte_writer(ret_key->bytes, sizeof(ret_key->bytes));
    ByteReader end = byte_reader(bytes + bits / 8 - sizeof(lowest), sizeof(lowest));
    (void)byte_reader_get_be32(&end, &lowest); /* four bytes are there */
    byte_writer_put_be32(&writer, (uint32_t)bits);
    byte_writer_put_be32(&writer, negative_inverse(lowest));
    byte_writer_put_bytes(&writer, bytes, (size_t)bits / 8);
    if (BN_bn2binpad(square, bytes, bits / 8) != bits / 8)
        return -ENOMEM;
    byte_writer_put_bytes(&writer, bytes, (size_t)bits / 8);
    ret_key->size = writer.size;
    return byte_writer_finish(&writer);
}

int avb_public_key_from_key(const EVP_PKEY *key, AvbPublicKey *ret_key, Error *error)
{
    _cleanup_(BN_freep) BIGNUM *modulus = NULL;
    _cleanup_(BN_freep) BIGNUM *exponent = NULL;
    int bits = EVP_PKEY_get_bits(key);

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a vbmeta structure is signed with an RSA key, not %s",
                         EVP_PKEY_get0_type_name(key));
    if (avb_public_key_get_size((uint64_t)bits) == 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "an RSA key of %d bits; AVB has keys of 2048, 4096 and 8192", bits);
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) {
        ERR_clear_error();
        return error_set(error, ERROR_FAILED, "cannot read the RSA key");
    }
    if (!BN_is_word(exponent, PUBLIC_EXPONENT))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "an RSA key whose public exponent is not %d", PUBLIC_EXPONENT);
    if (!BN_is_odd(modulus))
        return error_set(error, ERROR_INVALID_ARGUMENT, "an RSA key with an even modulus");
    if (encode_modulus(modulus, bits, ret_key) < 0) {
        ERR_clear_error();
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

/* --- from AVB's form --- */

static EVP_PKEY *make_key(const BIGNUM *modulus)
{
    _cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    _cleanup_(OSSL_PARAM_freep) OSSL_PARAM *parameters = NULL;
    _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context =
        EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;

    if (!builder || !context ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) != 1 ||
        OSSL_PARAM_BLD_push_uint(builder, OSSL_PKEY_PARAM_RSA_E, PUBLIC_EXPONENT) != 1)
        return NULL;
    parameters = OSSL_PARAM_BLD_to_param(builder);
    if (!parameters || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        return NULL;
    return key;
}

int avb_public_key_to_der(
    const uint8_t *key, size_t size, uint8_t **ret_der, size_t *ret_der_size, Error *error)
{
    _cleanup_(BN_freep) BIGNUM *modulus = NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *decoded = NULL;
    _cleanup_free_ uint8_t *der = NULL;
    AvbPublicKey again;
    uint32_t bits = 0;

    ByteReader reader = byte_reader(key, size);
    if (byte_reader_get_be32(&reader, &bits) < 0 || avb_public_key_get_size(bits) != size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB public key of %zu bytes that says %" PRIu32
                         " bits; AVB has keys of 2048, 4096 and 8192",
                         size, bits);
    modulus = BN_bin2bn(key + 8, (int)bits / 8, NULL);
    if (!modulus)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (BN_num_bits(modulus) != (int)bits || !BN_is_odd(modulus))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB public key whose modulus is even, or has fewer than its %" PRIu32
                         " bits",
                         bits);
    if (encode_modulus(modulus, (int)bits, &again) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (memcmp(again.bytes, key, size) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB public key whose n0inv or rr is not that of its modulus");

    decoded = make_key(modulus);
    int der_size = decoded ? i2d_PUBKEY(decoded, NULL) : -1;
    if (der_size > 0)
        der = malloc((size_t)der_size);
    uint8_t *end = der;
    if (!der || i2d_PUBKEY(decoded, &end) != der_size) {
        ERR_clear_error();
        return error_set(error, ERROR_FAILED, "cannot make a key of an AVB public key");
    }
    *ret_der = TAKE_PTR(der);
    *ret_der_size = (size_t)der_size;
    return 0;
}

/* --- from a file --- */

static int take_avb_form(const uint8_t *data, size_t size, AvbPublicKey *ret_key, Error *error)
{
    _cleanup_free_ uint8_t *der = NULL;
    size_t der_size;

    int r = avb_public_key_to_der(data, size, &der, &der_size, error);
    if (r < 0)
        return r;
    memcpy(ret_key->bytes, data, size);
    ret_key->size = size;
    return 0;
}

int avb_public_key_load(const char *path, AvbPublicKey *ret_key, Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(signing_key_freep) SigningKey *private_key = NULL;
    size_t size = 0;

    int r = signing_key_read_file(path, &data, &size, error);
    if (r < 0)
        return r;
    if (strstr((const char *)data, "PRIVATE KEY-----")) {
        OPENSSL_cleanse(data, size);
        r = signing_key_load(path, NULL, &private_key, error);
        return r < 0 ? r : avb_public_key_from_key(private_key->key, ret_key, error);
    }
    if (!strstr((const char *)data, "-----BEGIN "))
        return take_avb_form(data, size, ret_key, error);

    _cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
    key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    ERR_clear_error();
    if (!key)
        return error_set(error, ERROR_INVALID_FILE, "no public or private key in PEM in '%s'",
                         path);
    return avb_public_key_from_key(key, ret_key, error);
}
