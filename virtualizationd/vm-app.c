/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-app.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "composite-disk/payload-disk.h"
#include "composite-disk/payload-metadata.h"

#define DISKS_MAX 3

/* Keys of the host's own files. */
#define KEY_KERNEL   VM_APP_HOST_PREFIX "kernel"
#define KEY_INITRD   VM_APP_HOST_PREFIX "initrd"
#define KEY_METADATA VM_APP_HOST_PREFIX "payload-metadata"
#define DISK_PREFIX  VM_APP_HOST_PREFIX "disk:"

#define KEY_SIZE (sizeof(DISK_PREFIX) + GPT_LABEL_SIZE)

static void make_disk_key(const char *label, char key[static KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, DISK_PREFIX "%s", label); /* a label was checked to be one */
}

/* --- disks --- */

/* One more disk, with room for @n_partitions. */
static int add_disk(VmConfig *config, size_t n_partitions, bool writable, VmConfigDisk **ret_disk)
{
    VmConfigDisk *disk = &config->disks[config->n_disks++];

    disk->writable = writable;
    disk->partitions = calloc(n_partitions, sizeof(*disk->partitions));
    *ret_disk = disk;
    return disk->partitions ? 0 : -ENOMEM;
}

static int add_partition(VmConfigDisk *disk, const char *label, const char *key)
{
    VmConfigPartition *partition = &disk->partitions[disk->n_partitions++];

    partition->label = strdup(label);
    partition->path = strdup(key);
    partition->writable = disk->writable;
    return partition->label && partition->path ? 0 : -ENOMEM;
}

static int add_system_disk(VmConfig *config, const OsImage *os)
{
    const VmConfigDisk *source = &os->config->disks[0];
    VmConfigDisk *disk;

    int r = add_disk(config, source->n_partitions, false, &disk);
    for (size_t i = 0; r >= 0 && i < source->n_partitions; i++) {
        char key[KEY_SIZE];

        make_disk_key(source->partitions[i].label, key);
        r = add_partition(disk, source->partitions[i].label, key);
    }
    return r;
}

static int add_instance_disk(VmConfig *config)
{
    const VmAppConfig *app = config->app;
    VmConfigDisk *disk;

    int r = add_disk(config, 2, true, &disk);
    if (r >= 0)
        r = add_partition(disk, "vm-instance", app->instance_image);
    if (r >= 0 && app->encrypted_storage)
        r = add_partition(disk, "encryptedstore", app->encrypted_storage);
    return r;
}

static const char *get_payload_key(const VmAppConfig *app, PayloadPartition partition)
{
    switch (partition.role) {
    case PAYLOAD_METADATA:
        return KEY_METADATA;
    case PAYLOAD_APEX:
        return app->apexes[partition.index].image;
    case PAYLOAD_APK:
        return app->apk;
    case PAYLOAD_APK_IDSIG:
        return app->idsig;
    case PAYLOAD_EXTRA_APK:
        return app->extra_apks[partition.index].apk;
    case PAYLOAD_EXTRA_IDSIG:
        return app->extra_apks[partition.index].idsig;
    case PAYLOAD_PARTITION_ROLE_MAX:
        break;
    }
    assert(false);
    return NULL;
}

static int add_payload_disk(VmConfig *config)
{
    const VmAppConfig *app = config->app;
    size_t n_partitions = payload_disk_count(app->n_apexes, app->n_extra_apks);
    VmConfigDisk *disk;

    int r = add_disk(config, n_partitions, false, &disk);
    for (size_t i = 0; r >= 0 && i < n_partitions; i++) {
        PayloadPartition partition =
            payload_disk_get_partition(app->n_apexes, app->n_extra_apks, i);
        char label[PAYLOAD_LABEL_SIZE];

        payload_partition_make_label(partition, label);
        r = add_partition(disk, label, get_payload_key(app, partition));
    }
    return r;
}

static int take_system(VmConfig *config, const OsImage *os)
{
    config->kernel = strdup(KEY_KERNEL);
    config->initrd = strdup(KEY_INITRD);
    config->params = strdup(os->config->params);
    if (config->memory_bytes == 0)
        config->memory_bytes = os->config->memory_bytes;
    if (!config->kernel || !config->initrd || !config->params)
        return -ENOMEM;
    return add_system_disk(config, os);
}

int vm_app_assemble(VmConfig *config, const OsImage *os, bool is_slow, Error *error)
{
    config->disks = calloc(DISKS_MAX, sizeof(*config->disks));
    int r = config->disks ? 0 : -ENOMEM;
    if (r >= 0 && os)
        r = take_system(config, os);
    if (r >= 0)
        r = add_instance_disk(config);
    if (r >= 0)
        r = add_payload_disk(config);
    if (config->payload_timeout_ms == 0)
        config->payload_timeout_ms = is_slow ? VM_APP_TIMEOUT_SLOW_MS : VM_APP_TIMEOUT_MS;
    return r < 0 ? error_set(error, ERROR_NO_MEMORY, "out of memory") : 0;
}

/* --- files --- */

static int make_metadata(const VmAppConfig *app, PayloadMetadata **ret_metadata)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_free_ char *config_path = NULL;
    PayloadApex *apex;

    if (app->config_path &&
        asprintf(&config_path, PAYLOAD_APK_DIRECTORY "/%s", app->config_path) < 0)
        return -ENOMEM;
    /* A config in the APK names the extra ones itself. */
    int r = payload_metadata_new(config_path, app->binary,
                                 app->binary ? (uint32_t)app->n_extra_apks : 0, &metadata);
    for (size_t i = 0; r >= 0 && i < app->n_apexes; i++)
        r = payload_metadata_add_apex(metadata, app->apexes[i].name, &apex);
    if (r < 0)
        return r;
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}

/* The partition as a file in memory that nobody can change. */
static int make_metadata_file(const VmAppConfig *app, int *ret_fd, Error *error)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    if (make_metadata(app, &metadata) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = payload_metadata_encode(metadata, &bytes, &size, error);
    if (r < 0)
        return r;
    size_t padded = (size + COMPOSITE_ALIGNMENT - 1) / COMPOSITE_ALIGNMENT * COMPOSITE_ALIGNMENT;
    uint8_t *partition = realloc(bytes, padded);
    if (!partition)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    bytes = partition;
    memset(bytes + size, 0, padded - size);
    r = memfd_new_sealed("payload-metadata", bytes, padded, ret_fd);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot make a file in memory") : 0;
}

int vm_app_bring_files(const VmConfig *config, OsImage *os, VmFiles *files, Error *error)
{
    const VmConfigDisk *system = &os->config->disks[0];
    int metadata;

    int r = vm_files_bring(files, KEY_KERNEL, take_fd(&os->kernel), error);
    if (r >= 0)
        r = vm_files_bring(files, KEY_INITRD, take_fd(&os->initrd), error);
    for (size_t i = 0; r >= 0 && i < os->n_partitions; i++) {
        char key[KEY_SIZE];

        make_disk_key(system->partitions[i].label, key);
        r = vm_files_bring(files, key, take_fd(&os->partitions[i]), error);
    }
    if (r >= 0)
        r = make_metadata_file(config->app, &metadata, error);
    return r < 0 ? r : vm_files_bring(files, KEY_METADATA, metadata, error);
}

BootFiles vm_app_get_boot_files(const VmConfig *config, const VmFiles *files)
{
    return (BootFiles){
        .vbmeta = vm_files_find(files, DISK_PREFIX OS_IMAGE_VBMETA)->fd,
        .kernel = vm_files_find(files, KEY_KERNEL)->fd,
        .initrd = vm_files_find(files, KEY_INITRD)->fd,
        .initrd_kind = config->app->debug_level == DEBUG_LEVEL_FULL ? AVB_BOOT_INITRD_DEBUG
                                                                    : AVB_BOOT_INITRD_NORMAL,
    };
}
