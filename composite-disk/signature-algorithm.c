/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/signature-algorithm.h"

#include <stddef.h>

#include "common/cleanup.h"

/* clang-format off */
static const SignatureAlgorithm algorithms[] = {
    { SIGNATURE_RSA_PSS_SHA256, "rsa-pss-sha256",
      SIGNATURE_KEY_RSA, true, 256, CONTENT_DIGEST_CHUNKED_SHA256 },
    { SIGNATURE_RSA_PSS_SHA512, "rsa-pss-sha512",
      SIGNATURE_KEY_RSA, true, 512, CONTENT_DIGEST_CHUNKED_SHA512 },
    { SIGNATURE_RSA_PKCS1_SHA256, "rsa-pkcs1-sha256",
      SIGNATURE_KEY_RSA, false, 256, CONTENT_DIGEST_CHUNKED_SHA256 },
    { SIGNATURE_RSA_PKCS1_SHA512, "rsa-pkcs1-sha512",
      SIGNATURE_KEY_RSA, false, 512, CONTENT_DIGEST_CHUNKED_SHA512 },
    { SIGNATURE_ECDSA_SHA256, "ecdsa-sha256",
      SIGNATURE_KEY_EC, false, 256, CONTENT_DIGEST_CHUNKED_SHA256 },
    { SIGNATURE_ECDSA_SHA512, "ecdsa-sha512",
      SIGNATURE_KEY_EC, false, 512, CONTENT_DIGEST_CHUNKED_SHA512 },
    { SIGNATURE_DSA_SHA256, "dsa-sha256",
      SIGNATURE_KEY_DSA, false, 256, CONTENT_DIGEST_CHUNKED_SHA256 },
    { SIGNATURE_VERITY_RSA_PKCS1_SHA256, "verity-rsa-pkcs1-sha256",
      SIGNATURE_KEY_RSA, false, 256, CONTENT_DIGEST_VERITY_SHA256 },
    { SIGNATURE_VERITY_ECDSA_SHA256, "verity-ecdsa-sha256",
      SIGNATURE_KEY_EC, false, 256, CONTENT_DIGEST_VERITY_SHA256 },
    { SIGNATURE_VERITY_DSA_SHA256, "verity-dsa-sha256",
      SIGNATURE_KEY_DSA, false, 256, CONTENT_DIGEST_VERITY_SHA256 },
};
/* clang-format on */

const SignatureAlgorithm *signature_algorithm_find(uint32_t id)
{
    for (size_t i = 0; i < ELEMENTS_OF(algorithms); i++) {
        if (algorithms[i].id == id)
            return &algorithms[i];
    }
    return NULL;
}
