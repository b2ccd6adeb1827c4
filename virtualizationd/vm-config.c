/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-config.h"

#include <assert.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ckd.h"
#include "common/json-keys.h"
#include "common/text.h"
#include "composite-disk/gpt.h"

#define DEPTH_MAX     8
#define BYTES_PER_MIB (UINT64_C(1) << 20)
#define POINTER_MAX   128
#define SHOWN_SIZE    64 /* how much of a foreign text is shown in a sentence */

DEFINE_CLEANUP(json_object, json_object_put);
DEFINE_CLEANUP(json_tokener, json_tokener_free);

typedef struct Field Field;

/* Stores @value, of the field's type, into @destination. @pointer names its place. */
typedef int (*FieldReader)(const Field *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);

struct Field {
    const char *name;
    enum json_type type;
    FieldReader read;
    size_t offset; /* in the struct that the table fills */
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
};

#define INVALID(error, pointer, format, ...) \
    error_set(error, ERROR_INVALID_CONFIG, "%s: " format, pointer, ##__VA_ARGS__)

/* --- readers of values --- */

/* No reader sees a control character, of which NUL would end the text for it, or what is no UTF-8:
 * json-c's check lets overlong forms pass. */
static bool is_clean_text(struct json_object *value)
{
    const char *text = json_object_get_string(value);

    return text_is_utf8(text, (size_t)json_object_get_string_len(value)) &&
           text_has_no_control(text);
}

static int read_string(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    const char *text = json_object_get_string(value);
    size_t length = (size_t)json_object_get_string_len(value);

    if (length < (size_t)field->min)
        return INVALID(error, pointer, "the text is empty");
    if (length > (size_t)field->max)
        return INVALID(error, pointer, "the text has %zu bytes, at most %" PRId64 " are taken",
                       length, field->max);

    char *copy = strdup(text);
    if (!copy)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *(char **)destination = copy;
    return 0;
}

static int read_name(const Field *field,
                     struct json_object *value,
                     const char *pointer,
                     void *destination,
                     Error *error)
{
    const char *text = json_object_get_string(value);
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (text[0] == '-' || text[0] == '.' || text[strspn(text, allowed)] != '\0')
        return INVALID(error, pointer,
                       "a name has letters, digits, '-', '_' and '.', and does not begin with "
                       "'-' or '.'");
    return read_string(field, value, pointer, destination, error);
}

static int read_bool(const Field *field,
                     struct json_object *value,
                     const char *pointer,
                     void *destination,
                     Error *error)
{
    (void)field;
    (void)pointer;
    (void)error;
    *(bool *)destination = json_object_get_boolean(value);
    return 0;
}

/* json-c clamps what int64_t does not hold, which is out of every range here. */
static int check_range(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       Error *error)
{
    int64_t number = json_object_get_int64(value);

    if (number < field->min || number > field->max)
        return INVALID(error, pointer, "%s is out of range: %" PRId64 " to %" PRId64,
                       json_object_to_json_string(value), field->min, field->max);
    return 0;
}

static int read_u32(const Field *field,
                    struct json_object *value,
                    const char *pointer,
                    void *destination,
                    Error *error)
{
    int r = check_range(field, value, pointer, error);

    if (r >= 0)
        *(uint32_t *)destination = (uint32_t)json_object_get_int64(value);
    return r;
}

static int read_memory(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    int r = check_range(field, value, pointer, error);

    if (r >= 0)
        *(uint64_t *)destination = (uint64_t)json_object_get_int64(value) * BYTES_PER_MIB;
    return r;
}

static int read_choice(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    const char *text = json_object_get_string(value);
    char list[128] = "", shown[SHOWN_SIZE];
    size_t length = 0;

    for (unsigned i = 0; field->choices[i]; i++) {
        if (strcmp(field->choices[i], text) == 0) {
            *(unsigned *)destination = i;
            return 0;
        }
        length += (size_t)snprintf(list + length, sizeof(list) - length, "%s'%s'",
                                   i > 0 ? ", " : "", field->choices[i]);
        assert(length < sizeof(list));
    }
    text_escape(text, strlen(text), shown, sizeof(shown));
    return INVALID(error, pointer, "'%s' is none of %s", shown, list);
}

/* Checked and forgotten: a value that changes nothing here. */
static int read_platform_version(const Field *field,
                                 struct json_object *value,
                                 const char *pointer,
                                 void *destination,
                                 Error *error)
{
    const char *text = json_object_get_string(value);
    char shown[SHOWN_SIZE];

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

static int refuse_if_true(const Field *field,
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

static int refuse_app(const Field *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    (void)field;
    (void)value;
    (void)destination;
    return error_set(error, ERROR_NOT_SUPPORTED,
                     "%s: app configurations need the microguest image, which this version does "
                     "not have: use a raw configuration",
                     pointer);
}

static int read_vsock(const Field *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    unsigned transport = 0;

    (void)destination;
    int r = read_choice(field, value, pointer, &transport, error);
    if (r >= 0 && transport != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this version connects guests by its own vsock device only: use "
                         "'user'",
                         pointer);
    return r;
}

static int read_console_device(const Field *field,
                               struct json_object *value,
                               const char *pointer,
                               void *destination,
                               Error *error)
{
    unsigned device = 0;

    (void)destination;
    int r = read_choice(field, value, pointer, &device, error);
    if (r >= 0 && device != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this version's console is the serial port: use 'ttyS0'", pointer);
    return r;
}

/* --- tables --- */

static int read_object(const Field *fields,
                       struct json_object *object,
                       const char *pointer,
                       void *destination,
                       Error *error);
static int read_disks(const Field *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error);
static int read_partitions(const Field *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);

static const char *const cpu_topologies[] = { "one_cpu", "match_host", NULL };
static const char *const accelerators[] = { "auto", "kvm", "tcg", NULL };
static const char *const vsock_transports[] = { "user", "kernel", NULL };
static const char *const console_devices[] = { "ttyS0", "hvc0", NULL };

#define STRING(json_name, owner, member, least, most)                     \
    {                                                                     \
        .name = json_name, .type = json_type_string, .read = read_string, \
        .offset = offsetof(owner, member), .min = least, .max = most      \
    }
#define FILE_KEY(json_name, owner, member) \
    STRING(json_name, owner, member, 1, VM_CONFIG_FILE_KEY_MAX)
#define BOOL(json_name, owner, member)                                   \
    {                                                                    \
        .name = json_name, .type = json_type_boolean, .read = read_bool, \
        .offset = offsetof(owner, member)                                \
    }

static const Field partition_fields[] = {
    /* How long it may be is counted in UTF-16 units, below. */
    STRING("label", VmConfigPartition, label, 1, 4 * GPT_LABEL_UNITS_MAX),
    FILE_KEY("path", VmConfigPartition, path),
    BOOL("writable", VmConfigPartition, writable),
    { .name = NULL },
};

static const Field disk_fields[] = {
    FILE_KEY("image", VmConfigDisk, image),
    { .name = "partitions", .type = json_type_array, .read = read_partitions },
    BOOL("writable", VmConfigDisk, writable),
    { .name = NULL },
};

static const Field config_fields[] = {
    { .name = "name",
      .type = json_type_string,
      .read = read_name,
      .offset = offsetof(VmConfig, name),
      .min = 1,
      .max = VM_CONFIG_NAME_MAX },
    FILE_KEY("kernel", VmConfig, kernel),
    FILE_KEY("initrd", VmConfig, initrd),
    FILE_KEY("bootloader", VmConfig, bootloader),
    STRING("params", VmConfig, params, 0, LAUNCH_SPEC_PARAMS_MAX),
    { .name = "disks", .type = json_type_array, .read = read_disks },
    { .name = "protected", .type = json_type_boolean, .read = refuse_if_true },
    { .name = "memory_mib",
      .type = json_type_int,
      .read = read_memory,
      .offset = offsetof(VmConfig, memory_bytes),
      .min = 1,
      .max = INT32_MAX },
    { .name = "cpu_topology",
      .type = json_type_string,
      .read = read_choice,
      .offset = offsetof(VmConfig, cpu_topology),
      .choices = cpu_topologies },
    BOOL("balloon", VmConfig, balloon),
    { .name = "platform_version", .type = json_type_string, .read = read_platform_version },
    { .name = "console_input_device",
      .type = json_type_string,
      .read = read_console_device,
      .choices = console_devices },
    { .name = "accelerator",
      .type = json_type_string,
      .read = read_choice,
      .offset = offsetof(VmConfig, accelerator),
      .choices = accelerators },
    { .name = "vsock", .type = json_type_string, .read = read_vsock, .choices = vsock_transports },
    { .name = "payload_timeout_ms",
      .type = json_type_int,
      .read = read_u32,
      .offset = offsetof(VmConfig, payload_timeout_ms),
      .min = 1,
      .max = LAUNCH_SPEC_TIMEOUT_MS_MAX },
    { .name = "payload", .type = json_type_object, .read = refuse_app },
    { .name = NULL },
};

static int read_field(const Field *fields,
                      const char *key,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    char place[POINTER_MAX + SHOWN_SIZE], shown[SHOWN_SIZE];

    text_escape(key, strlen(key), shown, sizeof(shown));
    (void)snprintf(place, sizeof(place), "%s/%s", pointer, shown);
    for (const Field *field = fields; field->name; field++) {
        if (strcmp(field->name, key) != 0)
            continue;
        if (!json_object_is_type(value, field->type))
            return INVALID(error, place, "expected %s, got %s", json_type_to_name(field->type),
                           json_type_to_name(json_object_get_type(value)));
        if (field->type == json_type_string && !is_clean_text(value))
            return INVALID(error, place, "the text has a control character or is no UTF-8");
        return field->read(field, value, place, (char *)destination + field->offset, error);
    }
    return INVALID(error, place, "unknown key");
}

static int read_object(const Field *fields,
                       struct json_object *object,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    json_object_object_foreach(object, key, value)
    {
        int r = read_field(fields, key, value, pointer, destination, error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Reads an array of 1 to @max objects into a new array of @element_size each. */
static int read_array(const Field *fields,
                      struct json_object *array,
                      size_t max,
                      size_t element_size,
                      const char *pointer,
                      void **ret_elements,
                      size_t *ret_n_elements,
                      Error *error)
{
    size_t length = json_object_array_length(array);

    if (length > max)
        return INVALID(error, pointer, "%zu elements, at most %zu are taken", length, max);
    if (length == 0)
        return 0;
    char *elements = calloc(length, element_size);
    if (!elements)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    /* Handed over at once: what is read half-way is freed with the configuration. */
    *ret_elements = elements;
    *ret_n_elements = length;
    for (size_t i = 0; i < length; i++) {
        struct json_object *element = json_object_array_get_idx(array, i);
        char place[POINTER_MAX];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        if (!json_object_is_type(element, json_type_object))
            return INVALID(error, place, "expected object, got %s",
                           json_type_to_name(json_object_get_type(element)));
        int r = read_object(fields, element, place, elements + i * element_size, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_partitions(const VmConfigDisk *disk, const char *pointer, Error *error)
{
    for (size_t i = 0; i < disk->n_partitions; i++) {
        const VmConfigPartition *partition = &disk->partitions[i];

        if (!partition->label || !partition->path)
            return INVALID(error, pointer, "partition %zu has no '%s'", i,
                           partition->label ? "path" : "label");
        int n_units = gpt_label_count_units(partition->label);
        if (n_units < 0 || n_units > GPT_LABEL_UNITS_MAX)
            return INVALID(error, pointer,
                           "the label '%s' has more than %d UTF-16 units, which a GPT cannot hold",
                           partition->label, GPT_LABEL_UNITS_MAX);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(disk->partitions[j].label, partition->label) == 0)
                return INVALID(error, pointer, "the label '%s' is there twice", partition->label);
        }
    }
    return 0;
}

static int read_partitions(const Field *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    VmConfigDisk *disk = destination; /* the table has no offset for it */
    void *partitions = NULL;

    (void)field;
    int r = read_array(partition_fields, value, GPT_PARTITIONS_MAX, sizeof(VmConfigPartition),
                       pointer, &partitions, &disk->n_partitions, error);
    disk->partitions = partitions;
    return r < 0 ? r : check_partitions(disk, pointer, error);
}

static int check_disk(const VmConfigDisk *disk, const char *pointer, Error *error)
{
    if ((disk->image != NULL) == (disk->n_partitions > 0))
        return INVALID(error, pointer, "a disk has either an 'image' or 'partitions'");
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

static int read_disks(const Field *field,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    VmConfig *config = destination; /* the table has no offset for it */
    void *disks = NULL;

    (void)field;
    int r = read_array(disk_fields, value, LAUNCH_SPEC_DISKS_MAX, sizeof(VmConfigDisk), pointer,
                       &disks, &config->n_disks, error);
    config->disks = disks;
    for (size_t i = 0; r >= 0 && i < config->n_disks; i++) {
        char place[POINTER_MAX];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        r = check_disk(&config->disks[i], place, error);
    }
    return r;
}

static int check_config(const VmConfig *config, uint64_t host_memory_bytes, Error *error)
{
    if ((config->kernel != NULL) == (config->bootloader != NULL))
        return error_set(error, ERROR_INVALID_CONFIG,
                         "/: a VM has either a 'kernel' or a 'bootloader'");
    if (config->initrd && !config->kernel)
        return INVALID(error, "/initrd", "an 'initrd' goes with a 'kernel'");
    if (config->memory_bytes > host_memory_bytes)
        return INVALID(error, "/memory_mib",
                       "%" PRIu64 " MiB are more than this host has: at most %" PRIu64,
                       config->memory_bytes / BYTES_PER_MIB, host_memory_bytes / BYTES_PER_MIB);
    return 0;
}

static int parse_json(const char *json, struct json_object **ret_object, Error *error)
{
    size_t size = strlen(json);

    if (size > VM_CONFIG_SIZE_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration has %zu bytes, at most %d are taken", size,
                         VM_CONFIG_SIZE_MAX);
    _cleanup_(json_tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    /* With the final NUL, so that an unfinished value and text behind a value are errors. */
    _cleanup_(json_object_putp) struct json_object *object =
        json_tokener_parse_ex(tokener, json, (int)size + 1);
    enum json_tokener_error result = json_tokener_get_error(tokener);
    if (result != json_tokener_success || json_tokener_get_parse_end(tokener) < size)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration is no JSON: %s at byte %zu",
                         result == json_tokener_success ? "text behind the value"
                                                        : json_tokener_error_desc(result),
                         json_tokener_get_parse_end(tokener));
    if (!json_object_is_type(object, json_type_object))
        return error_set(error, ERROR_INVALID_CONFIG, "/: expected object, got %s",
                         json_type_to_name(json_object_get_type(object)));

    int r = json_keys_check(json, size, VM_CONFIG_KEYS_MAX, ERROR_INVALID_CONFIG, error);
    if (r < 0)
        return r;
    *ret_object = TAKE_PTR(object);
    return 0;
}

int vm_config_parse(const char *json,
                    uint64_t host_memory_bytes,
                    VmConfig **ret_config,
                    Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = parse_json(json, &object, error);
    if (r < 0)
        return r;
    _cleanup_(vm_config_freep) VmConfig *config = calloc(1, sizeof(*config));
    if (!config)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    config->memory_bytes = VM_CONFIG_MEMORY_DEFAULT;
    r = read_object(config_fields, object, "", config, error);
    if (r < 0)
        return r;
    r = check_config(config, host_memory_bytes, error);
    if (r < 0)
        return r;
    if (!config->params) {
        config->params = strdup("");
        if (!config->params)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }

    *ret_config = TAKE_PTR(config);
    return 0;
}

VmConfig *vm_config_free(VmConfig *config)
{
    if (!config)
        return NULL;

    for (size_t i = 0; i < config->n_disks; i++) {
        VmConfigDisk *disk = &config->disks[i];

        for (size_t j = 0; j < disk->n_partitions; j++) {
            free(disk->partitions[j].label);
            free(disk->partitions[j].path);
        }
        free(disk->partitions);
        free(disk->image);
    }
    free(config->disks);
    free(config->name);
    free(config->kernel);
    free(config->initrd);
    free(config->bootloader);
    free(config->params);
    free(config);
    return NULL;
}
