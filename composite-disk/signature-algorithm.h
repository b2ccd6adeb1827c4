/* SPDX-License-Identifier: Apache-2.0 */
/* The signature algorithms of APK Signature Schemes v2, v3 and v4, by their numbers. Source:
 * source.android.com, "APK Signature Scheme v3", "Signature algorithm IDs". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum SignatureAlgorithmId {
    SIGNATURE_RSA_PSS_SHA256 = 0x0101,
    SIGNATURE_RSA_PSS_SHA512 = 0x0102,
    SIGNATURE_RSA_PKCS1_SHA256 = 0x0103,
    SIGNATURE_RSA_PKCS1_SHA512 = 0x0104,
    SIGNATURE_ECDSA_SHA256 = 0x0201,
    SIGNATURE_ECDSA_SHA512 = 0x0202,
    SIGNATURE_DSA_SHA256 = 0x0301, /* known, and refused */
    SIGNATURE_VERITY_RSA_PKCS1_SHA256 = 0x0421,
    SIGNATURE_VERITY_ECDSA_SHA256 = 0x0423,
    SIGNATURE_VERITY_DSA_SHA256 = 0x0425, /* known, and refused */
} SignatureAlgorithmId;

/* How the contents of an APK are digested; a higher value is a stronger one. */
typedef enum ContentDigest {
    CONTENT_DIGEST_CHUNKED_SHA256 = 1,
    CONTENT_DIGEST_VERITY_SHA256 = 2,
    CONTENT_DIGEST_CHUNKED_SHA512 = 3,
} ContentDigest;

typedef enum SignatureKeyType {
    SIGNATURE_KEY_RSA,
    SIGNATURE_KEY_EC,
    SIGNATURE_KEY_DSA,
} SignatureKeyType;

typedef struct SignatureAlgorithm {
    SignatureAlgorithmId id;
    const char *name; /* for people, "rsa-pss-sha256" */
    SignatureKeyType key_type;
    bool pss;
    unsigned hash_bits; /* 256 or 512 */
    ContentDigest content_digest;
} SignatureAlgorithm;

/* NULL for a number that is none of them. */
const SignatureAlgorithm *signature_algorithm_find(uint32_t id);
