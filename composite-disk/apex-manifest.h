/* SPDX-License-Identifier: Apache-2.0 */
/* apex_manifest.pb, which says what an APEX is: a protobuf message, in the archive and once more in
 * the image in the archive. Format code without I/O. Source: AOSP, system/apex,
 * proto/apex_manifest.proto and apexd/apex_manifest.cpp. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define APEX_MANIFEST_NAME "apex_manifest.pb"
#define APEX_MANIFEST_MAX  (64U << 10) /* bytes that are read */
#define APEX_NAME_MAX      255

typedef struct ApexManifest {
    char name[APEX_NAME_MAX + 1];
    uint64_t version; /* above 0 */
} ApexManifest;

/* Reads @size bytes, which are all of a manifest; fields that are not known are passed over, as
 * there are more with each Android. ERROR_IMAGE_INVALID says what is wrong: no such message, no
 * version above 0, a name that is none: letters, digits, '.', '_' and '-', with a letter or digit
 * first, as it becomes a directory's. */
int apex_manifest_decode(const uint8_t *data,
                         size_t size,
                         ApexManifest *ret_manifest,
                         Error *error);
