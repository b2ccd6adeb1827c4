/* SPDX-License-Identifier: Apache-2.0 */
/* What the options of the vbmeta verbs say: key, rollback index and descriptors of a structure. The
 * descriptors are put into the order that avbtool puts them into: chain partitions by name,
 * properties, command lines; then those of other images, of which the ones of partitions come last,
 * by kind and name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "composite-disk/signing-key.h"
#include "composite-disk/tool/tool.h"
#include "composite-disk/vbmeta-make.h"

#define VBMETA_OPTIONS_PARTITIONS_MAX 64

/* An encoded descriptor of a partition. */
typedef struct VbmetaPart {
    uint64_t tag;
    AvbBytes name; /* in bytes */
    uint8_t *bytes;
    size_t size;
} VbmetaPart;

typedef struct VbmetaOptions {
    ToolCall *call;
    SigningKey *key;
    VbmetaContents contents;
    uint8_t *bytes;
    ByteWriter writer; /* of the descriptors, into bytes */
    size_t n_parts;
    VbmetaPart parts[VBMETA_OPTIONS_PARTITIONS_MAX];
    uint8_t salt[AVB_SALT_SIZE_MAX];
} VbmetaOptions;

/* Takes key, algorithm and rollback index of @call, which is kept. The caller frees it. */
int vbmeta_options_new(ToolCall *call, VbmetaOptions **ret_options, Error *error);

VbmetaOptions *vbmeta_options_free(VbmetaOptions *options);
DEFINE_CLEANUP(VbmetaOptions, vbmeta_options_free);

/* The salt that was given, or a random one; in @options. */
int vbmeta_options_get_salt(VbmetaOptions *options, AvbBytes *ret_salt, Error *error);

/* Puts the descriptors that the options ask for into @options->contents. */
int vbmeta_options_add_descriptors(VbmetaOptions *options, Error *error);
