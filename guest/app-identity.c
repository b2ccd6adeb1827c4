/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/app-identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "common/random.h"
#include "composite-disk/payload-disk.h"
#include "guest/apex-mount.h"
#include "guest/app-verification.h"
#include "guest/device-mapper.h"

/* Microdroid's, of the key of its record. */
static const char record_info[] = "microdroid_manager_key";
static const char rollback_info[] = "rollback-protected secret";
static const char storage_info[] = "encryptedstore_key"; /* AVF's */
/* Two salts, as in AVF: what a payload asks for can never be what is the guest's own. */
static const char payload_salt[] = "secrets of the payload", system_salt[] = "secrets of the guest";

static CryptoBytes text_bytes(const char *text)
{
    return (CryptoBytes){ text, strlen(text) };
}

AppIdentity *app_identity_free(AppIdentity *identity)
{
    if (!identity)
        return NULL;
    for (size_t i = 0; identity->apks && i < identity->data->n_apks; i++)
        apk_verity_deinit(&identity->apks[i]);
    free(identity->apks);
    free(identity->apexes);
    instance_data_free(identity->data);
    instance_store_free(identity->store);
    payload_metadata_free(identity->metadata);
    explicit_bzero(&identity->secrets, sizeof(identity->secrets));
    free(identity);
    return NULL;
}

void app_identity_get_label(size_t index, char label[static PAYLOAD_LABEL_SIZE])
{
    PayloadPartition partition = { .role = PAYLOAD_APK };

    if (index > 0)
        partition = (PayloadPartition){ .role = PAYLOAD_EXTRA_APK, .index = index - 1 };
    payload_partition_make_label(partition, label);
}

static void get_idsig_label(size_t index, char label[static PAYLOAD_LABEL_SIZE])
{
    PayloadPartition partition = { .role = PAYLOAD_APK_IDSIG };

    if (index > 0)
        partition = (PayloadPartition){ .role = PAYLOAD_EXTRA_IDSIG, .index = index - 1 };
    payload_partition_make_label(partition, label);
}

void app_identity_get_apex_label(size_t index, char label[static PAYLOAD_LABEL_SIZE])
{
    payload_partition_make_label((PayloadPartition){ .role = PAYLOAD_APEX, .index = index }, label);
}

/* --- what the payload disk has --- */

static int read_metadata(const PartitionTable *partitions, PayloadMetadata **ret, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ uint8_t *bytes = NULL;
    ByteSource source;

    int r = partition_table_open(partitions, "payload-metadata", O_RDONLY, &fd, error);
    if (r >= 0)
        r = byte_source_from_fd(fd, "payload-metadata", &source, error);
    if (r < 0)
        return r;
    r = byte_source_read_all(&source, PAYLOAD_METADATA_MAX + MERKLE_BLOCK_SIZE, &bytes);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read 'payload-metadata'");
    return payload_metadata_decode(bytes, (size_t)source.size, ret, error);
}

/* A program of the archive has the number of extra APKs beside it; a configuration file in the
 * archive cannot be read yet, so then it is the disk that says, and the file is held against it. */
static int count_apks(const PartitionTable *partitions,
                      const PayloadMetadata *metadata,
                      size_t *ret_n_apks,
                      Error *error)
{
    char label[PAYLOAD_LABEL_SIZE];
    size_t n = 0;

    do
        app_identity_get_label(n++, label);
    while (partition_table_find(partitions, label));
    n--;
    if (n == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the payload disk has no APK");
    if (n > 1 + PAYLOAD_EXTRA_APKS_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload disk has %zu extra APKs; at most %d are taken", n - 1,
                         PAYLOAD_EXTRA_APKS_MAX);
    if (metadata->binary && n != 1 + (size_t)metadata->n_extra_apks)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload disk has %zu extra APKs, and its metadata speaks of %u",
                         n - 1, metadata->n_extra_apks);
    *ret_n_apks = n;
    return 0;
}

/* The metadata has the modules whatever is run, and their names. */
static int check_apexes(const PartitionTable *partitions,
                        const PayloadMetadata *metadata,
                        Error *error)
{
    char label[PAYLOAD_LABEL_SIZE];

    for (size_t i = 0; i < metadata->n_apexes; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(metadata->apexes[i].name, metadata->apexes[j].name) == 0)
                return error_set(error, ERROR_IMAGE_INVALID,
                                 "the payload disk's metadata has the module '%s' twice",
                                 metadata->apexes[i].name);
        }
    }
    for (size_t i = 0; i <= metadata->n_apexes; i++) {
        bool is_expected = i < metadata->n_apexes;

        app_identity_get_apex_label(i, label);
        if ((partition_table_find(partitions, label) != NULL) != is_expected)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the payload disk has %s '%s', and its metadata speaks of %zu modules",
                             is_expected ? "no partition" : "a partition", label,
                             metadata->n_apexes);
    }
    return 0;
}

static int open_apks(const PartitionTable *partitions, AppIdentity *identity, Error *error)
{
    InstanceData *data = identity->data;

    for (size_t i = 0; i < data->n_apks; i++) {
        char apk_label[PAYLOAD_LABEL_SIZE], idsig_label[PAYLOAD_LABEL_SIZE];
        ApkVerity *apk = &identity->apks[i];

        app_identity_get_label(i, apk_label);
        get_idsig_label(i, idsig_label);
        const char *idsig = partition_table_find(partitions, idsig_label);
        if (!idsig)
            return error_set(error, ERROR_IMAGE_INVALID, "there is no partition '%s'", idsig_label);
        int r = apk_verity_open(apk_label, partition_table_find(partitions, apk_label), idsig, apk,
                                error);
        if (r < 0)
            return r;
        memcpy(data->apks[i].root_hash, apk->root, sizeof(apk->root));
        memcpy(data->apks[i].idsig_hash, apk->idsig_header_hash, sizeof(apk->idsig_header_hash));
    }
    return 0;
}

static int describe_run(const PayloadMetadata *metadata, InstanceData *data, Error *error)
{
    int size =
        metadata->binary
            ? snprintf(data->run, sizeof(data->run), "binary:%s", metadata->binary)
            : snprintf(data->run, sizeof(data->run), "config_path:%s", metadata->config_path);

    if (size < 0 || (size_t)size >= sizeof(data->run))
        return error_set(error, ERROR_IMAGE_INVALID, "the name of what is to be run is too long");
    return 0;
}

/* --- the record --- */

static int get_record_key(const BootHandover *handover, uint8_t key[static CRYPTO_KEY_SIZE])
{
    return crypto_derive(CRYPTO_SHA256,
                         (CryptoBytes){ handover->secrets.seal, sizeof(handover->secrets.seal) },
                         (CryptoBytes){ NULL, 0 }, text_bytes(record_info), key, CRYPTO_KEY_SIZE);
}

/* NULL in @ret_data when the instance has none. */
static int read_record(const InstanceStore *store,
                       const uint8_t key[static CRYPTO_KEY_SIZE],
                       InstanceData **ret_data,
                       Error *error)
{
    _cleanup_free_ uint8_t *bytes = malloc(INSTANCE_DATA_SIZE);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    *ret_data = NULL;
    int r =
        instance_store_read(store, instance_uuid_manager, key, bytes, INSTANCE_DATA_SIZE, error);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    r = instance_data_decode(bytes, ret_data);
    return r < 0 ? error_set_errno(error, ERROR_IMAGE_INVALID, r,
                                   "cannot read the instance's record of its payload")
                 : 0;
}

static int write_record(InstanceStore *store,
                        const uint8_t key[static CRYPTO_KEY_SIZE],
                        const InstanceData *data,
                        Error *error)
{
    _cleanup_free_ uint8_t *bytes = malloc(INSTANCE_DATA_SIZE);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = instance_data_encode(data, bytes);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot record the payload");
    r = instance_store_write(store, instance_uuid_manager, key, bytes, INSTANCE_DATA_SIZE, error);
    explicit_bzero(bytes, INSTANCE_DATA_SIZE);
    return r;
}

/* --- who it is --- */

/* Whether all of it is what was recorded, of as many parts. */
static bool is_recorded(const InstanceData *recorded, const InstanceData *data)
{
    bool is_same = true;

    for (size_t i = 0; is_same && i < data->n_apks; i++)
        is_same = instance_apk_is_same(&recorded->apks[i], &data->apks[i]);
    for (size_t i = 0; is_same && i < data->n_apexes; i++)
        is_same = instance_apex_is_same(&recorded->apexes[i], &data->apexes[i]);
    return is_same;
}

static int mount_modules(const PartitionTable *partitions,
                         const AppIdentity *identity,
                         Error *error)
{
    size_t n_modules = identity->data->n_apexes;
    int r = n_modules > 0 ? apex_mount_prepare(error) : 0;

    for (size_t i = 0; r >= 0 && i < n_modules; i++) {
        _cleanup_(error_clear) Error reason = ERROR_INIT;
        char label[PAYLOAD_LABEL_SIZE];

        app_identity_get_apex_label(i, label);
        r = apex_mount(label, partition_table_find(partitions, label), &identity->apexes[i],
                       &reason);
        if (r < 0)
            r = error_set(error, reason.kind, "the module '%s': %s", identity->apexes[i].name,
                          error_get_message(&reason));
    }
    return r;
}

static int check_with_record(const PartitionTable *partitions,
                             AppIdentity *identity,
                             const BootHandover *handover,
                             GuestErrorCode *ret_code,
                             Error *error)
{
    _cleanup_(instance_data_freep) InstanceData *recorded = NULL;
    InstanceData *data = identity->data;
    uint8_t key[CRYPTO_KEY_SIZE];

    if (get_record_key(handover, key) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *ret_code = GUEST_ERROR_PAYLOAD_CHANGED;
    int r = read_record(identity->store, key, &recorded, error);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
    r = app_verification_run(partitions, identity, recorded, error);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_PAYLOAD_CHANGED;
    if (recorded) {
        r = instance_data_check_update(recorded, data, error);
        memcpy(data->salt, recorded->salt, sizeof(recorded->salt));
    } else {
        r = random_fill(data->salt, sizeof(data->salt));
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot get random bytes");
    }
    identity->is_new = !recorded;
    /* Not before the signer is known to be the right one: it is the kernel that reads the image.
     * Not after something is recorded: only the manifest in there is signed. */
    if (r >= 0) {
        *ret_code = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
        r = mount_modules(partitions, identity, error);
    }
    if (r >= 0 && (!recorded || !is_recorded(recorded, data))) {
        *ret_code = GUEST_ERROR_UNKNOWN;
        r = write_record(identity->store, key, data, error);
    }
    explicit_bzero(key, sizeof(key));
    return r;
}

static int derive_secrets(AppIdentity *identity, const BootHandover *handover, Error *error)
{
    DiceInputs inputs;

    if (instance_data_measure(identity->data, handover->mode, &inputs) < 0 ||
        dice_derive(&handover->secrets, &inputs, &identity->secrets) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    explicit_bzero(&inputs, sizeof(inputs));
    return 0;
}

static int open_store(const PartitionTable *partitions, InstanceStore **ret_store, Error *error)
{
    int fd;

    int r = partition_table_open(partitions, "vm-instance", O_RDWR, &fd, error);
    return r < 0 ? r : instance_store_open(fd, ret_store, error);
}

int app_identity_establish(const PartitionTable *partitions,
                           const BootHandover *handover,
                           AppIdentity **ret_identity,
                           GuestErrorCode *ret_code,
                           Error *error)
{
    _cleanup_(app_identity_freep) AppIdentity *identity = calloc(1, sizeof(*identity));
    size_t n_apks;

    *ret_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG;
    if (!identity)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = read_metadata(partitions, &identity->metadata, error);
    if (r >= 0)
        r = count_apks(partitions, identity->metadata, &n_apks, error);
    if (r >= 0)
        r = check_apexes(partitions, identity->metadata, error);
    if (r < 0)
        return r;
    identity->data = instance_data_new(n_apks, identity->metadata->n_apexes);
    identity->apks = calloc(n_apks, sizeof(*identity->apks));
    identity->apexes = calloc(identity->metadata->n_apexes + 1, sizeof(*identity->apexes));
    if (!identity->data || !identity->apks || !identity->apexes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = describe_run(identity->metadata, identity->data, error);
    if (r < 0)
        return r;

    *ret_code = GUEST_ERROR_FIRMWARE_INSTANCE_IMAGE_CHANGED;
    r = open_store(partitions, &identity->store, error);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
    r = open_apks(partitions, identity, error);
    if (r >= 0)
        r = check_with_record(partitions, identity, handover, ret_code, error);
    if (r >= 0)
        r = derive_secrets(identity, handover, error);
    if (r < 0)
        return r;

    *ret_identity = TAKE_PTR(identity);
    return 0;
}

bool app_identity_has_module(const AppIdentity *identity, const char *name)
{
    for (size_t i = 0; i < identity->data->n_apexes; i++) {
        if (strcmp(identity->data->apexes[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool is_corrupted(const char *label)
{
    bool is_corrupted;

    /* That it cannot be told is no proof. */
    return device_mapper_is_corrupted(label, &is_corrupted, NULL) >= 0 && is_corrupted;
}

bool app_identity_is_corrupted(const AppIdentity *identity)
{
    char label[PAYLOAD_LABEL_SIZE];

    for (size_t i = 0; i < identity->data->n_apks; i++) {
        app_identity_get_label(i, label);
        if (is_corrupted(label))
            return true;
    }
    for (size_t i = 0; i < identity->data->n_apexes; i++) {
        app_identity_get_apex_label(i, label);
        if (is_corrupted(label))
            return true;
    }
    return false;
}

/* --- secrets --- */

static int derive(const AppIdentity *identity,
                  const char *salt,
                  CryptoBytes info,
                  uint8_t *ret_bytes,
                  size_t size)
{
    const CryptoBytes key = { identity->secrets.seal, sizeof(identity->secrets.seal) };

    return crypto_derive(CRYPTO_SHA256, key, text_bytes(salt), info, ret_bytes, size);
}

int app_identity_derive_secret(const AppIdentity *identity,
                               CryptoBytes identifier,
                               uint8_t *ret_secret,
                               size_t size)
{
    return derive(identity, payload_salt, identifier, ret_secret, size);
}

int app_identity_derive_storage_key(const AppIdentity *identity, uint8_t *ret_key, size_t size)
{
    return derive(identity, system_salt, text_bytes(storage_info), ret_key, size);
}

static int derive_rollback_key(const AppIdentity *identity, uint8_t key[static CRYPTO_KEY_SIZE])
{
    return derive(identity, system_salt, text_bytes(rollback_info), key, CRYPTO_KEY_SIZE);
}

int app_identity_read_rollback_secret(const AppIdentity *identity, uint8_t *ret_secret, size_t size)
{
    uint8_t key[CRYPTO_KEY_SIZE];

    int r = derive_rollback_key(identity, key);
    if (r >= 0)
        r = instance_store_read(identity->store, instance_uuid_payload, key, ret_secret, size,
                                NULL);
    explicit_bzero(key, sizeof(key));
    return r;
}

int app_identity_write_rollback_secret(AppIdentity *identity, const uint8_t *secret, size_t size)
{
    uint8_t key[CRYPTO_KEY_SIZE];

    int r = derive_rollback_key(identity, key);
    if (r >= 0)
        r = instance_store_write(identity->store, instance_uuid_payload, key, secret, size, NULL);
    explicit_bzero(key, sizeof(key));
    return r;
}
