/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-config.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json-keys.h"
#include "common/text.h"

#define DEPTH_MAX   8
#define POINTER_MAX 128
#define SHOWN_SIZE  64 /* how much of a foreign text is shown in a sentence */

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

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
    size_t offset; /* in what the table fills */
    size_t max;    /* bytes of a text */
    bool is_name;  /* a text of NAME_CHARACTERS */
    const Field *fields;
};

#define INVALID(error, pointer, format, ...) \
    error_set(error, ERROR_INVALID_CONFIG, "%s: " format, pointer, ##__VA_ARGS__)

static int read_object(const Field *fields,
                       struct json_object *object,
                       const char *pointer,
                       void *destination,
                       Error *error);

/* --- readers of values --- */

static int check_text(const Field *field, const char *text, const char *pointer, Error *error)
{
    size_t length = strlen(text);

    if (length == 0)
        return INVALID(error, pointer, "the text is empty");
    if (length > field->max)
        return INVALID(error, pointer, "the text has %zu bytes, at most %zu are taken", length,
                       field->max);
    if (field->is_name &&
        (text[0] == '-' || text[0] == '.' || text[strspn(text, NAME_CHARACTERS)] != '\0'))
        return INVALID(error, pointer,
                       "a name has letters, digits, '-', '_' and '.', and does not begin with '-' "
                       "or '.'");
    return 0;
}

/* The destination has nothing yet, as no key is there twice. */
static int read_text(const Field *field,
                     struct json_object *value,
                     const char *pointer,
                     void *destination,
                     Error *error)
{
    const char *text = json_object_get_string(value);

    int r = check_text(field, text, pointer, error);
    if (r < 0)
        return r;
    char *copy = strdup(text);
    if (!copy)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *(char **)destination = copy;
    return 0;
}

/* An empty one is AVF's for none. */
static int read_os_name(const Field *field,
                        struct json_object *value,
                        const char *pointer,
                        void *destination,
                        Error *error)
{
    if (json_object_get_string_len(value) == 0)
        return 0;
    return read_text(field, value, pointer, destination, error);
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

static int read_choice(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    (void)field;
    (void)pointer;
    (void)error;
    *(PayloadChoice *)destination =
        json_object_get_boolean(value) ? PAYLOAD_CHOICE_YES : PAYLOAD_CHOICE_NO;
    return 0;
}

static int refuse_authfs(const Field *field,
                         struct json_object *value,
                         const char *pointer,
                         void *destination,
                         Error *error)
{
    (void)field;
    (void)destination;
    if (json_object_get_boolean(value))
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "%s: this guest has no AuthFS: use false, or leave it out", pointer);
    return 0;
}

static int read_task_type(const Field *field,
                          struct json_object *value,
                          const char *pointer,
                          void *destination,
                          Error *error)
{
    static const char *const names[PAYLOAD_TASK_TYPE_MAX] = { "executable", "microdroid_launcher" };
    const char *text = json_object_get_string(value);
    char shown[SHOWN_SIZE];

    (void)field;
    for (unsigned i = 0; i < PAYLOAD_TASK_TYPE_MAX; i++) {
        if (strcmp(text, names[i]) == 0) {
            *(PayloadTaskType *)destination = (PayloadTaskType)i;
            return 0;
        }
    }
    text_escape(text, strlen(text), shown, sizeof(shown));
    return INVALID(error, pointer, "'%s' is none of 'executable', 'microdroid_launcher'", shown);
}

/* A member of a struct that is read from an object of its own. */
static int read_nested(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    return read_object(field->fields, value, pointer, destination, error);
}

/* Each element is an object with one text. */
static int read_texts(struct json_object *array,
                      const Field *fields,
                      size_t max,
                      const char *pointer,
                      char **texts,
                      size_t *ret_n_texts,
                      Error *error)
{
    size_t length = json_object_array_length(array);

    if (length > max)
        return INVALID(error, pointer, "%zu elements, at most %zu are taken", length, max);
    for (size_t i = 0; i < length; i++) {
        struct json_object *element = json_object_array_get_idx(array, i);
        char place[POINTER_MAX];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        if (!json_object_is_type(element, json_type_object))
            return INVALID(error, place, "expected object, got %s",
                           json_type_to_name(json_object_get_type(element)));
        *ret_n_texts = i + 1; /* at once: what is read half-way is freed with the configuration */
        int r = read_object(fields, element, place, &texts[i], error);
        if (r < 0)
            return r;
        if (!texts[i])
            return INVALID(error, place, "there is no '%s'", fields[0].name);
    }
    return 0;
}

static int read_apexes(const Field *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    PayloadConfig *config = destination; /* the table has no offset for it */

    int r = read_texts(value, field->fields, PAYLOAD_APEXES_MAX, pointer, config->apexes,
                       &config->n_apexes, error);
    for (size_t i = 0; r >= 0 && i < config->n_apexes; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(config->apexes[i], config->apexes[j]) == 0)
                return INVALID(error, pointer, "the APEX '%s' is there twice", config->apexes[i]);
        }
    }
    return r;
}

static int read_extra_apks(const Field *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    PayloadConfig *config = destination; /* the table has no offset for it */

    return read_texts(value, field->fields, PAYLOAD_EXTRA_APKS_MAX, pointer, config->extra_apks,
                      &config->n_extra_apks, error);
}

/* --- tables --- */

/* clang-format off */
static const Field os_fields[] = {
    { .name = "name", .type = json_type_string, .read = read_os_name,
      .offset = offsetof(PayloadConfig, os_name), .max = PAYLOAD_OS_NAME_MAX, .is_name = true },
    { .name = NULL },
};

static const Field task_fields[] = {
    { .name = "type", .type = json_type_string, .read = read_task_type,
      .offset = offsetof(PayloadConfig, task_type) },
    { .name = "command", .type = json_type_string, .read = read_text,
      .offset = offsetof(PayloadConfig, command), .max = PAYLOAD_COMMAND_MAX },
    { .name = NULL },
};

static const Field apex_fields[] = {
    { .name = "name", .type = json_type_string, .read = read_text, .max = PAYLOAD_NAME_MAX,
      .is_name = true },
    { .name = NULL },
};

static const Field extra_apk_fields[] = {
    { .name = "path", .type = json_type_string, .read = read_text, .max = PAYLOAD_PATH_MAX },
    { .name = NULL },
};

static const Field config_fields[] = {
    { .name = "os", .type = json_type_object, .read = read_nested, .fields = os_fields },
    { .name = "task", .type = json_type_object, .read = read_nested, .fields = task_fields },
    { .name = "apexes", .type = json_type_array, .read = read_apexes, .fields = apex_fields },
    { .name = "extra_apks", .type = json_type_array, .read = read_extra_apks,
      .fields = extra_apk_fields },
    { .name = "prefer_staged", .type = json_type_boolean, .read = read_bool,
      .offset = offsetof(PayloadConfig, prefer_staged) },
    { .name = "export_tombstones", .type = json_type_boolean, .read = read_choice,
      .offset = offsetof(PayloadConfig, export_tombstones) },
    { .name = "enable_authfs", .type = json_type_boolean, .read = refuse_authfs },
    { .name = "hugepages", .type = json_type_boolean, .read = read_bool,
      .offset = offsetof(PayloadConfig, hugepages) },
    { .name = NULL },
};
/* clang-format on */

/* No reader sees a control character, of which NUL would end the text for it, or what is no UTF-8:
 * json-c's check lets overlong forms pass. */
static bool is_clean_text(struct json_object *value)
{
    const char *text = json_object_get_string(value);

    return text_is_utf8(text, (size_t)json_object_get_string_len(value)) &&
           text_has_no_control(text);
}

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

/* --- the whole --- */

static int check_task(const PayloadConfig *config, struct json_object *object, Error *error)
{
    const char *command = config->command;

    if (!json_object_object_get_ex(object, "task", NULL))
        return 0;
    if (!command)
        return INVALID(error, "/task", "there is no 'command'");
    if (config->task_type == PAYLOAD_TASK_LAUNCHER &&
        (strchr(command, '/') || strcmp(command, ".") == 0 || strcmp(command, "..") == 0))
        return INVALID(error, "/task/command", "a library is named without a directory");
    if (config->task_type == PAYLOAD_TASK_EXECUTABLE && command[0] != '/')
        return INVALID(error, "/task/command", "a program is named by its absolute path");
    return 0;
}

static int parse_json(const char *text, size_t size, struct json_object **ret_object, Error *error)
{
    if (size > PAYLOAD_CONFIG_SIZE_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration has %zu bytes, at most %d are taken", size,
                         PAYLOAD_CONFIG_SIZE_MAX);
    _cleanup_(json_tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    /* With the final NUL, so that an unfinished value and text behind a value are errors. */
    _cleanup_(json_object_putp) struct json_object *object =
        json_tokener_parse_ex(tokener, text, (int)size + 1);
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

    int r = json_keys_check(text, size, PAYLOAD_CONFIG_KEYS_MAX, ERROR_INVALID_CONFIG, error);
    if (r < 0)
        return r;
    *ret_object = TAKE_PTR(object);
    return 0;
}

int payload_config_parse(const char *text, size_t size, PayloadConfig **ret_config, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = parse_json(text, size, &object, error);
    if (r < 0)
        return r;
    _cleanup_(payload_config_freep) PayloadConfig *config = calloc(1, sizeof(*config));
    if (!config)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = read_object(config_fields, object, "", config, error);
    if (r >= 0)
        r = check_task(config, object, error);
    if (r < 0)
        return r;
    *ret_config = TAKE_PTR(config);
    return 0;
}

/* One byte more than a configuration may have shows that it has more. */
static int read_file(int fd, char text[static PAYLOAD_CONFIG_SIZE_MAX + 1], size_t *ret_size)
{
    size_t size = 0;

    while (size <= PAYLOAD_CONFIG_SIZE_MAX) {
        ssize_t n = read(fd, text + size, PAYLOAD_CONFIG_SIZE_MAX + 1 - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    *ret_size = size;
    return 0;
}

int payload_config_load(int root_fd, const char *path, PayloadConfig **ret_config, Error *error)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    char shown[SHOWN_SIZE];
    struct stat status;
    size_t size;

    text_escape(path, strlen(path), shown, sizeof(shown));
    _cleanup_close_ int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_CONFIG, errno, "cannot open '%s'", shown);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERROR_INVALID_CONFIG, "'%s' is no file", shown);
    _cleanup_free_ char *text = malloc(PAYLOAD_CONFIG_SIZE_MAX + 2);
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = read_file(fd, text, &size);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_CONFIG, r, "cannot read '%s'", shown);
    text[size] = '\0';
    return payload_config_parse(text, size, ret_config, error);
}

static void free_texts(char **texts, size_t n_texts)
{
    for (size_t i = 0; i < n_texts; i++)
        free(texts[i]);
}

PayloadConfig *payload_config_free(PayloadConfig *config)
{
    if (!config)
        return NULL;
    free(config->os_name);
    free(config->command);
    free_texts(config->apexes, config->n_apexes);
    free_texts(config->extra_apks, config->n_extra_apks);
    free(config);
    return NULL;
}
