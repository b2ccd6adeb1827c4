/* SPDX-License-Identifier: Apache-2.0 */
/* The cryptography of the guest's first stage and of guest-manager, on mbed TLS, which is small
 * enough to be in an initramfs. What fails here for want of memory or for a wrong size is a
 * negative errno; a signature or a tag that is wrong is -EBADMSG. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CRYPTO_SHA256_SIZE   32
#define CRYPTO_SHA512_SIZE   64
#define CRYPTO_HASH_SIZE_MAX CRYPTO_SHA512_SIZE
#define CRYPTO_KEY_SIZE      32 /* of AES-256 */
/* What sealed bytes have besides the plain ones: a nonce before them, a tag behind. */
#define CRYPTO_NONCE_SIZE  12
#define CRYPTO_TAG_SIZE    16
#define CRYPTO_SEALED_MORE (CRYPTO_NONCE_SIZE + CRYPTO_TAG_SIZE)

typedef enum CryptoHash {
    CRYPTO_SHA256,
    CRYPTO_SHA512,
} CryptoHash;

/* Lent. */
typedef struct CryptoBytes {
    const void *data;
    size_t size;
} CryptoBytes;

size_t crypto_hash_get_size(CryptoHash hash);

/* Hashes @parts as if they were one after the other. @ret_digest has the hash's size of room. */
int crypto_hash(CryptoHash hash, const CryptoBytes *parts, size_t n_parts, uint8_t *ret_digest);

/* HKDF (RFC 5869); no @salt is one of no bytes. */
int crypto_derive(CryptoHash hash,
                  CryptoBytes key,
                  CryptoBytes salt,
                  CryptoBytes info,
                  uint8_t *ret_bytes,
                  size_t size);

/* AES-256-GCM with a random nonce. @ret_sealed has room for @plain.size + CRYPTO_SEALED_MORE:
 * nonce, ciphertext, tag. @more is authenticated as well. */
int crypto_seal(const uint8_t key[static CRYPTO_KEY_SIZE],
                CryptoBytes more,
                CryptoBytes plain,
                uint8_t *ret_sealed);

/* The way back; @ret_plain has room for @sealed.size - CRYPTO_SEALED_MORE, and is left zeros when
 * something was altered: -EBADMSG. */
int crypto_open(const uint8_t key[static CRYPTO_KEY_SIZE],
                CryptoBytes more,
                CryptoBytes sealed,
                uint8_t *ret_plain);

/* Whether @signature is the one of PKCS #1 v1.5 over @digest, of the key with this big-endian
 * modulus and the exponent 65537; -EBADMSG when not. */
int crypto_verify_rsa(CryptoBytes modulus,
                      CryptoHash hash,
                      const uint8_t *digest,
                      CryptoBytes signature);
