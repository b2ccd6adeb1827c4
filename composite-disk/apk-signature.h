/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies who has signed an APK, with APK Signature Scheme v3, and v2 only where that is asked
 * for; and reads what it claims to be signed for, unverified. As strict as AVF's guest. A
 * certificate is an identity, no more: nobody's signature on it and no date in it counts; a lineage
 * of keys and signers for other versions (scheme v3.1) are not looked at. Sources:
 * source.android.com, "APK Signature Scheme v3"; AOSP, libs/apkverify of
 * packages/modules/Virtualization. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/apk-digest.h"
#include "composite-disk/apk-signer.h"
#include "composite-disk/apk-signing-block.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"

/* An APK cut into its parts, none of which is verified. */
typedef struct ApkParts {
    ZipSections sections;
    ApkSigningBlock block; /* without bytes when the APK has none */
    ApkContent content;
    uint8_t *end; /* owned, content.end: with the directory's offset replaced */
} ApkParts;

/* ERROR_IMAGE_INVALID for what is no zip, or has a damaged signing block. */
int apk_parts_read(const ByteSource *apk, ApkParts *ret_parts, Error *error);
void apk_parts_deinit(ApkParts *parts);

typedef struct ApkVerifyOptions {
    uint32_t sdk;       /* of the Android that it is verified for; 0: APK_SDK_NEWEST */
    bool allow_v2;      /* for an APK without a signature of scheme v3 */
    unsigned n_threads; /* 0: one for each CPU */
    const Progress *progress;
} ApkVerifyOptions;

typedef struct ApkSignature {
    ApkScheme scheme;
    const SignatureAlgorithm *algorithm;
    ApkDigest digest;                  /* of the contents */
    uint8_t *certificate, *public_key; /* DER, owned */
    size_t certificate_size, public_key_size;
} ApkSignature;

/* Verifies all that counts: the strongest signature, what it signs, and the contents. Otherwise
 * ERROR_IMAGE_INVALID says what of it is wrong. @apk ends with its end record: see zip_cut_tail().
 */
int apk_signature_verify(const ByteSource *apk,
                         const ApkVerifyOptions *options,
                         ApkSignature **ret_signature,
                         Error *error);
ApkSignature *apk_signature_free(ApkSignature *signature);
DEFINE_CLEANUP(ApkSignature, apk_signature_free);

/* The digest that the strongest signature of scheme v3, or else v2, is over, as the APK says it:
 * what an idsig has. NOTHING is verified. */
int apk_signature_read_digest(const ByteSource *apk,
                              uint32_t sdk,
                              ApkDigest *ret_digest,
                              const SignatureAlgorithm **ret_algorithm,
                              Error *error);
