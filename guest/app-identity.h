/* SPDX-License-Identifier: Apache-2.0 */
/* Who an app VM is: finds its APKs and modules on the payload disk, puts dm-verity over them,
 * compares them with what the instance has recorded, verifies in full what is new, mounts the
 * modules, records it, and derives the payload's secrets. Everything here is done before a byte of
 * the payload runs. */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/payload-disk.h"
#include "composite-disk/payload-metadata.h"
#include "guest/apk-verity.h"
#include "guest/boot-handover.h"
#include "guest/crypto.h"
#include "guest/instance-data.h"
#include "guest/instance-store.h"
#include "guest/partition-table.h"
#include "guest/verdict.h"
#include "protocol/guest-message.h"

typedef struct AppIdentity {
    PayloadMetadata *metadata; /* owned, as the next ones */
    InstanceStore *store;
    InstanceData *data;
    ApkVerity *apks;      /* of @data->n_apks */
    ApexIdentity *apexes; /* of @data->n_apexes */
    DiceSecrets secrets;  /* the payload's */
    bool is_new;          /* the instance had no payload before */
} AppIdentity;

/* @ret_code says what the host is told when it fails. */
int app_identity_establish(const PartitionTable *partitions,
                           const BootHandover *handover,
                           AppIdentity **ret_identity,
                           GuestErrorCode *ret_code,
                           Error *error);
AppIdentity *app_identity_free(AppIdentity *identity);
DEFINE_CLEANUP(AppIdentity, app_identity_free);

/* The name of the verity device of the APK @index, which its partition has as a label. */
void app_identity_get_label(size_t index, char label[static PAYLOAD_LABEL_SIZE]);

/* The same of the module @index. */
void app_identity_get_apex_label(size_t index, char label[static PAYLOAD_LABEL_SIZE]);

/* Whether a module of that name is there. */
bool app_identity_has_module(const AppIdentity *identity, const char *name);

/* True when a block of an APK or a module was read that is not what was verified. */
bool app_identity_is_corrupted(const AppIdentity *identity);

/* A secret of the payload's for @identifier; -EINVAL for a size HKDF does not give. */
int app_identity_derive_secret(const AppIdentity *identity,
                               CryptoBytes identifier,
                               uint8_t *ret_secret,
                               size_t size);

/* The key of the encrypted storage, which no payload can ask for. */
int app_identity_derive_storage_key(const AppIdentity *identity, uint8_t *ret_key, size_t size);

/* What the payload has asked to be protected against being put back; -ENOENT when there is nothing.
 */
int app_identity_read_rollback_secret(const AppIdentity *identity,
                                      uint8_t *ret_secret,
                                      size_t size);
int app_identity_write_rollback_secret(AppIdentity *identity, const uint8_t *secret, size_t size);
