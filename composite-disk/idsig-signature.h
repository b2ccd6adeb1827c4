/* SPDX-License-Identifier: Apache-2.0 */
/* The signature in an idsig: over the APK's size, the root of its tree and its digest. Source:
 * source.android.com, "APK Signature Scheme v4". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/idsig.h"
#include "composite-disk/signing-key.h"

/* What @idsig lends once it is signed. */
typedef struct IdsigSignature {
    uint8_t *certificate, *public_key; /* owned */
    uint8_t bytes[SIGNATURE_SIZE_MAX];
} IdsigSignature;

/* Fills certificate, public key and algorithm of @idsig, and as signature as many bytes as there
 * can be: for the size of its header. */
int idsig_signature_prepare(IdsigSignature *signature,
                            const SigningKey *key,
                            Idsig *idsig,
                            Error *error);
void idsig_signature_deinit(IdsigSignature *signature);

/* Signs what is in @idsig. */
int idsig_signature_make(IdsigSignature *signature,
                         const SigningKey *key,
                         uint64_t apk_size,
                         Idsig *idsig,
                         Error *error);

/* True for an idsig with a signature or any part of one. */
bool idsig_is_signed(const Idsig *idsig);

/* 0 when the signature is right and the key the certificate's. Whose certificate it is, is not
 * looked at. */
int idsig_signature_verify(const Idsig *idsig, uint64_t apk_size, Error *error);
