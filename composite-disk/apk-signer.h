/* SPDX-License-Identifier: Apache-2.0 */
/* What APK Signature Schemes v2 and v3 keep in the signing block: signers, and the data that each
 * of them signs. Format code without I/O; nothing in here is verified. Sources: source.android.com,
 * "APK Signature Scheme v2" and "v3". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "composite-disk/signature-algorithm.h"

#define APK_SIGNERS_MAX    16
#define APK_ALGORITHMS_MAX 32 /* signatures, or digests, of one signer */
#define APK_SDK_MIN        28 /* the first Android that knows scheme v3 */
#define APK_SDK_NEWEST     INT32_MAX

typedef enum ApkScheme {
    APK_SCHEME_V2 = 2,
    APK_SCHEME_V3 = 3,
} ApkScheme;

/* Signatures or digests, each by its algorithm's number; bytes are lent. */
typedef struct ApkAlgorithmList {
    size_t n;
    struct {
        uint32_t id;
        ByteReader bytes;
    } items[APK_ALGORITHMS_MAX];
} ApkAlgorithmList;

typedef struct ApkSigner {
    ByteReader signed_data, public_key; /* lent */
    uint32_t min_sdk, max_sdk;          /* of scheme v3 */
    ApkAlgorithmList signatures;
} ApkSigner;

typedef struct ApkSignedData {
    ApkAlgorithmList digests;
    ByteReader certificate; /* the first one, of DER; size 0: none */
    uint32_t min_sdk, max_sdk;
    uint32_t stripping_guard; /* of scheme v2: the scheme that it was signed with, too; or 0 */
} ApkSignedData;

/* The one signer that counts for @sdk among those of @value; of scheme v2 there must be one.
 * ERROR_IMAGE_INVALID when there is none, or several, or the bytes are bad. */
int apk_signer_find(
    ApkScheme scheme, ByteReader value, uint32_t sdk, ApkSigner *ret_signer, Error *error);

int apk_signed_data_decode(ApkScheme scheme,
                           ByteReader bytes,
                           ApkSignedData *ret_data,
                           Error *error);

/* The index of the strongest signature whose algorithm is known, DSA not counted; -EBADMSG when
 * there is none, which @error says with those that there are. */
int apk_signer_find_strongest(const ApkSigner *signer, size_t *ret_index, Error *error);

/* Signed data of scheme v3 with one digest and one certificate; 0 or -ENOBUFS. */
int apk_signed_data_encode(const SignatureAlgorithm *algorithm,
                           ByteReader digest,
                           ByteReader certificate,
                           ByteWriter *writer);

/* The value of the signing block with one signer of scheme v3; 0 or -ENOBUFS. */
int apk_signer_encode(const SignatureAlgorithm *algorithm,
                      ByteReader signed_data,
                      ByteReader signature,
                      ByteReader public_key,
                      ByteWriter *writer);
