/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out who has made an APK, by verifying all of it. It is read through its verity device, so
 * that afterwards the root of that device vouches for the bytes. */
#pragma once

#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "guest/verdict.h"

/* Verifies the APK on @partition, which is larger by less than 4096 bytes, by its signature of
 * scheme v3; and @idsig_header, all of its idsig up to the tree, against it. ERROR_IMAGE_INVALID
 * says what of it is wrong. */
int apk_identity_verify(const ByteSource *partition,
                        ByteReader idsig_header,
                        ApkIdentity *ret_identity,
                        Error *error);
