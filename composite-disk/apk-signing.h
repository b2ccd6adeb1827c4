/* SPDX-License-Identifier: Apache-2.0 */
/* Signs a zip with APK Signature Scheme v3, whatever it was signed with before. */
#pragma once

#include "common/error.h"
#include "composite-disk/apk-signature.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"
#include "composite-disk/signing-key.h"

/* Writes @apk with a new signing block, in place of any other, into the empty file @fd. Entries
 * stay where they are, so that their alignment does too. @key must have a certificate. @progress
 * may be NULL. After an error the file is of no use. */
int apk_sign(const ByteSource *apk,
             const SigningKey *key,
             int fd,
             const Progress *progress,
             ApkSignature **ret_signature,
             Error *error);
