/* SPDX-License-Identifier: Apache-2.0 */
/* RSA public keys in the form that they have in vbmeta structures: the number of bits, then what a
 * boot loader needs for Montgomery multiplication. The public exponent is always 65537. Source:
 * AOSP, external/avb, libavb/avb_crypto.h (AvbRSAPublicKeyHeader).
 *
 *   bits (32), -1/n mod 2^32 (32), n and (2^bits)^2 mod n (bits / 8 bytes each); big-endian */
#pragma once

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define AVB_PUBLIC_KEY_SIZE_MAX (8 + 2 * 8192 / 8)

typedef struct AvbPublicKey {
    size_t size;
    uint8_t bytes[AVB_PUBLIC_KEY_SIZE_MAX];
} AvbPublicKey;

/* The bytes of a key with so many bits; 0 when AVB has no such keys (it has 2048, 4096, 8192). */
static inline size_t avb_public_key_get_size(uint64_t bits)
{
    return bits == 2048 || bits == 4096 || bits == 8192 ? 8 + 2 * (size_t)(bits / 8) : 0;
}

/* ERROR_INVALID_ARGUMENT for a key that is not RSA, of another size or with another exponent. */
int avb_public_key_from_key(const EVP_PKEY *key, AvbPublicKey *ret_key, Error *error);

/* Reads a file with a public or private key in PEM, or with a key in AVB's form. */
int avb_public_key_load(const char *path, AvbPublicKey *ret_key, Error *error);

/* Makes a SubjectPublicKeyInfo in DER, which the caller frees with free(). ERROR_IMAGE_INVALID for
 * bytes that are no such key, also when the numbers in it do not belong together: a boot loader
 * takes them as they are. */
int avb_public_key_to_der(
    const uint8_t *key, size_t size, uint8_t **ret_der, size_t *ret_der_size, Error *error);
