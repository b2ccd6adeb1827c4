/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json-fields.h"
#include "common/text.h"
#include "composite-disk/gpt.h"

#define BYTES_PER_MIB (UINT64_C(1) << 20)

/* --- readers of values --- */

static int read_memory(const JsonField *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    int r = json_field_check_range(field, value, pointer, error);

    if (r >= 0)
        *(uint64_t *)destination = (uint64_t)json_object_get_int64(value) * BYTES_PER_MIB;
    return r;
}

/* Checked and forgotten: a value that changes nothing here. */
static int read_platform_version(const JsonField *field,
                                 struct json_object *value,
                                 const char *pointer,
                                 void *destination,
                                 Error *error)
{
    const char *text = json_object_get_string(value);
    char shown[JSON_FIELD_SHOWN_SIZE];

    (void)field;
    (void)destination;
    /* AVF matches a semantic version requirement against its platform's 1.0.0. */
    if (strcmp(text, "~1.0") != 0 && strcmp(text, "^1.0") != 0 && strcmp(text, "1.0") != 0 &&
        strcmp(text, "1.0.0") != 0 && strcmp(text, "=1.0.0") != 0 && strcmp(text, "~1.0.0") != 0) {
        text_escape(text, strlen(text), shown, sizeof(shown));
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this platform has version 1.0.0, which does not match '%s'", pointer,
                         shown);
    }
    return 0;
}

static int refuse_if_true(const JsonField *field,
                          struct json_object *value,
                          const char *pointer,
                          void *destination,
                          Error *error)
{
    (void)field;
    (void)destination;
    if (json_object_get_boolean(value))
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this host has no hypervisor that protects a VM from it: use false",
                         pointer);
    return 0;
}

static int read_app(const JsonField *field,
                    struct json_object *value,
                    const char *pointer,
                    void *destination,
                    Error *error)
{
    (void)field;
    return vm_app_config_read(value, pointer, destination, error);
}

static int read_vsock(const JsonField *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    unsigned transport = 0;

    (void)destination;
    int r = json_field_read_choice(field, value, pointer, &transport, error);
    if (r >= 0 && transport != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this version connects guests by its own vsock device only: use "
                         "'user'",
                         pointer);
    return r;
}

static int read_console_device(const JsonField *field,
                               struct json_object *value,
                               const char *pointer,
                               void *destination,
                               Error *error)
{
    unsigned device = 0;

    (void)destination;
    int r = json_field_read_choice(field, value, pointer, &device, error);
    if (r >= 0 && device != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this version's console is the serial port: use 'ttyS0'", pointer);
    return r;
}

/* --- tables --- */

static int read_disks(const JsonField *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error);
static int read_partitions(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);

static const char *const cpu_topologies[] = { "one_cpu", "match_host", NULL };
static const char *const accelerators[] = { "auto", "kvm", "tcg", NULL };
static const char *const vsock_transports[] = { "user", "kernel", NULL };
static const char *const console_devices[] = { "ttyS0", "hvc0", NULL };

#define FILE_KEY(json_name, owner, member) \
    JSON_FIELD_STRING(json_name, owner, member, 1, VM_CONFIG_FILE_KEY_MAX)

static const JsonField partition_fields[] = {
    /* How long it may be is counted in UTF-16 units, below. */
    JSON_FIELD_STRING("label", VmConfigPartition, label, 1, 4 * GPT_LABEL_UNITS_MAX),
    FILE_KEY("path", VmConfigPartition, path),
    JSON_FIELD_BOOL("writable", VmConfigPartition, writable),
    { .name = NULL },
};

static const JsonField disk_fields[] = {
    FILE_KEY("image", VmConfigDisk, image),
    { .name = "partitions", .type = json_type_array, .read = read_partitions },
    JSON_FIELD_BOOL("writable", VmConfigDisk, writable),
    { .name = NULL },
};

static const JsonField config_fields[] = {
    { .name = "name",
      .type = json_type_string,
      .read = json_field_read_name,
      .offset = offsetof(VmConfig, name),
      .min = 1,
      .max = VM_CONFIG_NAME_MAX },
    FILE_KEY("kernel", VmConfig, kernel),
    FILE_KEY("initrd", VmConfig, initrd),
    FILE_KEY("bootloader", VmConfig, bootloader),
    JSON_FIELD_STRING("params", VmConfig, params, 0, LAUNCH_SPEC_PARAMS_MAX),
    { .name = "disks", .type = json_type_array, .read = read_disks },
    { .name = "protected", .type = json_type_boolean, .read = refuse_if_true },
    { .name = "memory_mib",
      .type = json_type_int,
      .read = read_memory,
      .offset = offsetof(VmConfig, memory_bytes),
      .min = 1,
      .max = INT32_MAX },
    JSON_FIELD_CHOICE("cpu_topology", VmConfig, cpu_topology, cpu_topologies),
    JSON_FIELD_BOOL("balloon", VmConfig, balloon),
    { .name = "platform_version", .type = json_type_string, .read = read_platform_version },
    { .name = "console_input_device",
      .type = json_type_string,
      .read = read_console_device,
      .choices = console_devices },
    JSON_FIELD_CHOICE("accelerator", VmConfig, accelerator, accelerators),
    { .name = "vsock", .type = json_type_string, .read = read_vsock, .choices = vsock_transports },
    { .name = "payload_timeout_ms",
      .type = json_type_int,
      .read = json_field_read_u32,
      .offset = offsetof(VmConfig, payload_timeout_ms),
      .min = 1,
      .max = LAUNCH_SPEC_TIMEOUT_MS_MAX },
    { .name = "payload",
      .type = json_type_object,
      .read = read_app,
      .offset = offsetof(VmConfig, app) },
    { .name = NULL },
};

static int check_partitions(const VmConfigDisk *disk, const char *pointer, Error *error)
{
    for (size_t i = 0; i < disk->n_partitions; i++) {
        const VmConfigPartition *partition = &disk->partitions[i];

        if (!partition->label || !partition->path)
            return JSON_INVALID(error, pointer, "partition %zu has no '%s'", i,
                                partition->label ? "path" : "label");
        int n_units = gpt_label_count_units(partition->label);
        if (n_units < 0 || n_units > GPT_LABEL_UNITS_MAX)
            return JSON_INVALID(
                error, pointer,
                "the label '%s' has more than %d UTF-16 units, which a GPT cannot hold",
                partition->label, GPT_LABEL_UNITS_MAX);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(disk->partitions[j].label, partition->label) == 0)
                return JSON_INVALID(error, pointer, "the label '%s' is there twice",
                                    partition->label);
        }
    }
    return 0;
}

static int read_partitions(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    VmConfigDisk *disk = destination; /* the table has no offset for it */
    void *partitions = NULL;

    (void)field;
    int r = json_fields_read_array(partition_fields, value, GPT_PARTITIONS_MAX,
                                   sizeof(VmConfigPartition), pointer, &partitions,
                                   &disk->n_partitions, error);
    disk->partitions = partitions;
    return r < 0 ? r : check_partitions(disk, pointer, error);
}

static int check_disk(const VmConfigDisk *disk, const char *pointer, Error *error)
{
    if ((disk->image != NULL) == (disk->n_partitions > 0))
        return JSON_INVALID(error, pointer, "a disk has either an 'image' or 'partitions'");
    for (size_t i = 0; i < disk->n_partitions; i++) {
        /* One QEMU disk has one access mode. */
        if (disk->partitions[i].writable != disk->writable)
            return error_set(error, ERROR_NOT_SUPPORTED,
                             "%s: partition '%s' is %s on a %s disk: put writable partitions on "
                             "a disk of their own",
                             pointer, disk->partitions[i].label,
                             disk->partitions[i].writable ? "writable" : "read-only",
                             disk->writable ? "writable" : "read-only");
    }
    return 0;
}

static int read_disks(const JsonField *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    VmConfig *config = destination; /* the table has no offset for it */
    void *disks = NULL;

    (void)field;
    int r = json_fields_read_array(disk_fields, value, LAUNCH_SPEC_DISKS_MAX, sizeof(VmConfigDisk),
                                   pointer, &disks, &config->n_disks, error);
    config->disks = disks;
    for (size_t i = 0; r >= 0 && i < config->n_disks; i++) {
        char place[JSON_POINTER_SIZE];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        r = check_disk(&config->disks[i], place, error);
    }
    return r;
}

/* What the operating system of an app has is not for its configuration to say. */
static int check_app(const VmConfig *config, Error *error)
{
    const struct {
        const char *pointer;
        bool is_there;
    } raw[] = {
        { "/kernel", config->kernel },     { "/initrd", config->initrd },
        { "/params", config->params },     { "/bootloader", config->bootloader },
        { "/disks", config->n_disks > 0 },
    };

    for (size_t i = 0; i < ELEMENTS_OF(raw); i++) {
        if (raw[i].is_there)
            return JSON_INVALID(error, raw[i].pointer,
                                "a VM with a 'payload' has its operating system's: leave it out");
    }
    return 0;
}

static int check_raw(const VmConfig *config, Error *error)
{
    if ((config->kernel != NULL) == (config->bootloader != NULL))
        return error_set(error, ERROR_INVALID_CONFIG,
                         "/: a VM has either a 'kernel' or a 'bootloader'");
    if (config->initrd && !config->kernel)
        return JSON_INVALID(error, "/initrd", "an 'initrd' goes with a 'kernel'");
    return 0;
}

int vm_config_check_memory(const VmConfig *config, uint64_t host_memory_bytes, Error *error)
{
    if (config->memory_bytes > host_memory_bytes)
        return JSON_INVALID(
            error, "/memory_mib", "%" PRIu64 " MiB are more than this host has: at most %" PRIu64,
            config->memory_bytes / BYTES_PER_MIB, host_memory_bytes / BYTES_PER_MIB);
    return 0;
}

/* What is left out, but for an app, which gets its operating system's. */
static int set_defaults(VmConfig *config, Error *error)
{
    if (config->app)
        return 0;
    if (config->memory_bytes == 0)
        config->memory_bytes = VM_CONFIG_MEMORY_DEFAULT;
    if (!config->params)
        config->params = strdup("");
    return config->params ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}

int vm_config_parse(const char *json,
                    uint64_t host_memory_bytes,
                    VmConfig **ret_config,
                    Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = json_fields_parse(json, strlen(json), &object, error);
    if (r < 0)
        return r;
    _cleanup_(vm_config_freep) VmConfig *config = calloc(1, sizeof(*config));
    if (!config)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    r = json_fields_read(config_fields, object, "", config, error);
    if (r >= 0)
        r = config->app ? check_app(config, error) : check_raw(config, error);
    if (r >= 0)
        r = set_defaults(config, error);
    if (r >= 0)
        r = vm_config_check_memory(config, host_memory_bytes, error);
    if (r < 0)
        return r;

    *ret_config = TAKE_PTR(config);
    return 0;
}

static void free_disks(VmConfigDisk *disks, size_t n_disks)
{
    for (size_t i = 0; i < n_disks; i++) {
        VmConfigDisk *disk = &disks[i];

        for (size_t j = 0; j < disk->n_partitions; j++) {
            free(disk->partitions[j].label);
            free(disk->partitions[j].path);
        }
        free(disk->partitions);
        free(disk->image);
    }
    free(disks);
}

VmConfig *vm_config_free(VmConfig *config)
{
    if (!config)
        return NULL;

    free_disks(config->disks, config->n_disks);
    vm_app_config_free(config->app);
    free(config->name);
    free(config->kernel);
    free(config->initrd);
    free(config->bootloader);
    free(config->params);
    free(config);
    return NULL;
}
