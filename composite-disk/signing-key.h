/* SPDX-License-Identifier: Apache-2.0 */
/* Private and public keys and certificates, over OpenSSL: what APK signatures, idsigs and vbmeta
 * are signed and verified with. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/signature-algorithm.h"

#define SIGNATURE_SIZE_MAX 1024 /* of RSA with 8192 bits */

typedef struct SigningKey {
    EVP_PKEY *key;
    X509 *certificate; /* NULL: none was asked for */
} SigningKey;

/* Reads a private key in PEM (PKCS #8, or RSA's and EC's own) without a passphrase, and, unless
 * @certificate_path is NULL, the first certificate of that PEM file. Refused: RSA with fewer than
 * 2048 or more than 8192 bits, EC but for P-256, P-384 and P-521, other keys, a certificate that is
 * not the key's. */
int signing_key_load(const char *key_path,
                     const char *certificate_path,
                     SigningKey **ret_key,
                     Error *error);

/* A new key on the curve P-256, without a certificate. */
int signing_key_generate(SigningKey **ret_key, Error *error);

/* Writes the private key, without a passphrase, and the certificate, if there is one, in PEM into
 * the empty file @fd, which only its owner may open afterwards. */
int signing_key_write(const SigningKey *key, int fd, Error *error);

/* Gives a key the first certificate in the PEM file that it was loaded from, or, where none is, one
 * that is made for it: @ret_made. As signing_key_load() and signing_key_add_certificate(). */
int signing_key_complete(
    SigningKey *key, const char *path, const char *common_name, bool *ret_made, Error *error);

/* Reads a file of keys or certificates, of at most 64 KiB, with a NUL behind it; the caller
 * cleanses and frees the memory. ERROR_INVALID_FILE. */
int signing_key_read_file(const char *path, uint8_t **ret_data, size_t *ret_size, Error *error);

/* A certificate for @key, made and signed by itself, in @key->certificate: for keys that come
 * without one. @common_name: what it says of whom it is for. Valid for 30 years from now. */
int signing_key_add_certificate(SigningKey *key, const char *common_name, Error *error);

/* The certificate in DER, for a key that came without one; ERROR_INVALID_ARGUMENT when it is
 * another key's. */
int signing_key_set_certificate(SigningKey *key, const uint8_t *der, size_t size, Error *error);

SigningKey *signing_key_free(SigningKey *key);
DEFINE_CLEANUP(SigningKey, signing_key_free);

/* The algorithm that apksigner takes for this key by default with schemes v3 and v4. */
const SignatureAlgorithm *signing_key_get_algorithm(const SigningKey *key);

/* Signs @data; @ret_signature has SIGNATURE_SIZE_MAX bytes of room. */
int signing_key_sign(const SigningKey *key,
                     const SignatureAlgorithm *algorithm,
                     const void *data,
                     size_t size,
                     uint8_t *ret_signature,
                     size_t *ret_size,
                     Error *error);

/* Verifies with the public key in DER (SubjectPublicKeyInfo). 0, -EBADMSG for a wrong signature or
 * a key of another type than the algorithm's, size or curve than is taken; @error names which. */
int signature_verify(const uint8_t *public_key,
                     size_t public_key_size,
                     const SignatureAlgorithm *algorithm,
                     const void *data,
                     size_t size,
                     const uint8_t *signature,
                     size_t signature_size,
                     Error *error);

/* Checks that both are good DER with nothing behind it, and the certificate of that key: nobody's
 * signature on it is looked at. @error names what is wrong. */
int certificate_check_key(const uint8_t *certificate,
                          size_t certificate_size,
                          const uint8_t *public_key,
                          size_t public_key_size,
                          Error *error);

/* The DER encodings of certificate, which @key must have, and public key: the caller frees them
 * with free(). */
int signing_key_encode(const SigningKey *key,
                       uint8_t **ret_certificate,
                       size_t *ret_certificate_size,
                       uint8_t **ret_public_key,
                       size_t *ret_public_key_size);
