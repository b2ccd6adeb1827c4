/* SPDX-License-Identifier: Apache-2.0 */
/* What guest-manager has recorded of an instance's payload: the record of AVF's microdroid_manager.
 * A payload that is the recorded one needs no full verification; one that differs has to be an
 * update, of the same signers, package and parts, with no lower version.
 *
 * CBOR, sealed in the instance image, with zeros behind it up to INSTANCE_DATA_SIZE:
 *   { "salt": 64 bytes, "run": what of it is run, "apks": [the APK, then the extra ones],
 *     "apexes": [modules] }
 *   an APK: { "root_hash", "idsig_hash": 32 bytes, "cert_hash": 64 bytes, "package", "version" }
 *   a module: { "name", "public_key": 64 bytes, "root_digest": 32 bytes, "version" }
 * Source of the fields: AOSP, packages/modules/Virtualization,
 * guest/microdroid_manager/src/instance.rs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/payload-metadata.h"
#include "guest/dice.h"

#define INSTANCE_DATA_SIZE    (32U << 10)
#define INSTANCE_SALT_SIZE    64
#define INSTANCE_PACKAGE_SIZE 256  /* with the NUL */
#define INSTANCE_RUN_SIZE     4200 /* "config_path:" or "binary:", a path, the NUL */

typedef struct InstanceApk {
    uint8_t root_hash[32];
    uint8_t idsig_hash[32]; /* SHA-256 of the idsig up to its tree */
    uint8_t cert_hash[64];  /* SHA-512 of the signer's certificate, DER */
    char package[INSTANCE_PACKAGE_SIZE];
    uint64_t version;
} InstanceApk;

typedef struct InstanceApex {
    char name[PAYLOAD_NAME_MAX + 1];
    uint8_t public_key[64]; /* SHA-512 of it */
    uint8_t root_digest[32];
    uint64_t version;
} InstanceApex;

typedef struct InstanceData {
    uint8_t salt[INSTANCE_SALT_SIZE];
    char run[INSTANCE_RUN_SIZE];
    size_t n_apks, n_apexes;
    InstanceApk *apks; /* owned */
    InstanceApex *apexes;
} InstanceData;

/* With room for so many; NULL when there is no memory. */
InstanceData *instance_data_new(size_t n_apks, size_t n_apexes);
InstanceData *instance_data_free(InstanceData *data);
DEFINE_CLEANUP(InstanceData, instance_data_free);

/* -ENOBUFS when it does not fit. */
int instance_data_encode(const InstanceData *data, uint8_t bytes[static INSTANCE_DATA_SIZE]);

/* -EBADMSG for what is no such record, -ENOMEM. */
int instance_data_decode(const uint8_t bytes[static INSTANCE_DATA_SIZE], InstanceData **ret_data);

/* Whether the APK is the recorded one by what is known of it before it is verified. */
bool instance_apk_is_same(const InstanceApk *recorded, const InstanceApk *found);
bool instance_apex_is_same(const InstanceApex *recorded, const InstanceApex *found);

/* That @found may follow @recorded; ERROR_IMAGE_INVALID says what may not be another or lower. */
int instance_data_check_update(const InstanceData *recorded,
                               const InstanceData *found,
                               Error *error);

/* What the payload's secrets are derived from: code, authority and configuration of all of it, and
 * the salt. -ENOMEM. */
int instance_data_measure(const InstanceData *data, DiceMode mode, DiceInputs *ret_inputs);
