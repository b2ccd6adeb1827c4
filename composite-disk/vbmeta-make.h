/* SPDX-License-Identifier: Apache-2.0 */
/* Makes vbmeta structures and signs them, laid out as avbtool does. Source: see vbmeta.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/signing-key.h"
#include "composite-disk/vbmeta.h"

typedef struct VbmetaContents {
    const VbmetaAlgorithm *algorithm;
    const SigningKey *key; /* NULL with the algorithm NONE */
    AvbBytes descriptors;  /* encoded */
    uint64_t rollback_index;
    uint32_t rollback_index_location;
    uint32_t flags;
    uint32_t version_minor; /* at least; more if the rest needs it */
    const char *release;    /* of the program that makes it */
} VbmetaContents;

/* Makes and signs one. The caller frees *@ret_data. ERROR_INVALID_ARGUMENT names what is too large
 * or does not fit: a key of other than the algorithm's size, a release that is too long. */
int vbmeta_make(const VbmetaContents *contents, uint8_t **ret_data, size_t *ret_size, Error *error);
