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
#include "common/json-fields.h"
#include "common/text.h"

/* --- readers of values --- */

/* An empty one is AVF's for none. */
static int read_os_name(const JsonField *field,
                        struct json_object *value,
                        const char *pointer,
                        void *destination,
                        Error *error)
{
    if (json_object_get_string_len(value) == 0)
        return 0;
    return json_field_read_name(field, value, pointer, destination, error);
}

static int read_choice(const JsonField *field,
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

static int refuse_authfs(const JsonField *field,
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

/* --- tables --- */

/* In the order of PayloadTaskType. */
static const char *const task_types[] = { "executable", "microdroid_launcher", NULL };

/* clang-format off */
static const JsonField os_fields[] = {
    { .name = "name", .type = json_type_string, .read = read_os_name,
      .offset = offsetof(PayloadConfig, os_name), .min = 1, .max = PAYLOAD_OS_NAME_MAX },
    { .name = NULL },
};

static const JsonField task_fields[] = {
    JSON_FIELD_CHOICE("type", PayloadConfig, task_type, task_types),
    JSON_FIELD_STRING("command", PayloadConfig, command, 1, PAYLOAD_COMMAND_MAX),
    { .name = NULL },
};

/* An element of each list is one text. */
static const JsonField apex_fields[] = {
    { .name = "name", .type = json_type_string, .read = json_field_read_name, .min = 1,
      .max = PAYLOAD_NAME_MAX },
    { .name = NULL },
};

static const JsonField extra_apk_fields[] = {
    { .name = "path", .type = json_type_string, .read = json_field_read_string, .min = 1,
      .max = PAYLOAD_PATH_MAX },
    { .name = NULL },
};
/* clang-format on */

static int read_os(const JsonField *field,
                   struct json_object *value,
                   const char *pointer,
                   void *destination,
                   Error *error)
{
    (void)field;
    return json_fields_read(os_fields, value, pointer, destination, error);
}

static int read_task(const JsonField *field,
                     struct json_object *value,
                     const char *pointer,
                     void *destination,
                     Error *error)
{
    (void)field;
    return json_fields_read(task_fields, value, pointer, destination, error);
}

static int read_texts(const JsonField *fields,
                      struct json_object *array,
                      size_t max,
                      const char *pointer,
                      char ***ret_texts,
                      size_t *ret_n_texts,
                      Error *error)
{
    void *texts = NULL;

    int r = json_fields_read_array(fields, array, max, sizeof(char *), pointer, &texts, ret_n_texts,
                                   error);
    *ret_texts = texts;
    for (size_t i = 0; r >= 0 && i < *ret_n_texts; i++) {
        char place[JSON_POINTER_SIZE];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        if (!(*ret_texts)[i])
            r = JSON_INVALID(error, place, "there is no '%s'", fields[0].name);
    }
    return r;
}

static int read_apexes(const JsonField *field,
                       struct json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    PayloadConfig *config = destination; /* the table has no offset for it */

    (void)field;
    int r = read_texts(apex_fields, value, PAYLOAD_APEXES_MAX, pointer, &config->apexes,
                       &config->n_apexes, error);
    for (size_t i = 0; r >= 0 && i < config->n_apexes; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(config->apexes[i], config->apexes[j]) == 0)
                return JSON_INVALID(error, pointer, "the APEX '%s' is there twice",
                                    config->apexes[i]);
        }
    }
    return r;
}

static int read_extra_apks(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    PayloadConfig *config = destination; /* the table has no offset for it */

    (void)field;
    return read_texts(extra_apk_fields, value, PAYLOAD_EXTRA_APKS_MAX, pointer, &config->extra_apks,
                      &config->n_extra_apks, error);
}

/* clang-format off */
static const JsonField config_fields[] = {
    { .name = "os", .type = json_type_object, .read = read_os },
    { .name = "task", .type = json_type_object, .read = read_task },
    { .name = "apexes", .type = json_type_array, .read = read_apexes },
    { .name = "extra_apks", .type = json_type_array, .read = read_extra_apks },
    JSON_FIELD_BOOL("prefer_staged", PayloadConfig, prefer_staged),
    { .name = "export_tombstones", .type = json_type_boolean, .read = read_choice,
      .offset = offsetof(PayloadConfig, export_tombstones) },
    { .name = "enable_authfs", .type = json_type_boolean, .read = refuse_authfs },
    JSON_FIELD_BOOL("hugepages", PayloadConfig, hugepages),
    { .name = NULL },
};
/* clang-format on */

/* --- the whole --- */

static int check_task(const PayloadConfig *config, struct json_object *object, Error *error)
{
    const char *command = config->command;

    if (!json_object_object_get_ex(object, "task", NULL))
        return 0;
    if (!command)
        return JSON_INVALID(error, "/task", "there is no 'command'");
    if (config->task_type == PAYLOAD_TASK_LAUNCHER &&
        (strchr(command, '/') || strcmp(command, ".") == 0 || strcmp(command, "..") == 0))
        return JSON_INVALID(error, "/task/command", "a library is named without a directory");
    if (config->task_type == PAYLOAD_TASK_EXECUTABLE && command[0] != '/')
        return JSON_INVALID(error, "/task/command", "a program is named by its absolute path");
    return 0;
}

int payload_config_parse(const char *text, size_t size, PayloadConfig **ret_config, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = json_fields_parse(text, size, &object, error);
    if (r < 0)
        return r;
    _cleanup_(payload_config_freep) PayloadConfig *config = calloc(1, sizeof(*config));
    if (!config)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = json_fields_read(config_fields, object, "", config, error);
    if (r >= 0)
        r = check_task(config, object, error);
    if (r < 0)
        return r;
    *ret_config = TAKE_PTR(config);
    return 0;
}

int payload_config_load(int root_fd, const char *path, PayloadConfig **ret_config, Error *error)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    char shown[JSON_FIELD_SHOWN_SIZE];
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
    /* One byte more than a configuration may have shows that it has more. */
    int r = fd_read_all(fd, text, PAYLOAD_CONFIG_SIZE_MAX + 1, &size);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_CONFIG, r, "cannot read '%s'", shown);
    text[size] = '\0';
    return payload_config_parse(text, size, ret_config, error);
}

static void free_texts(char **texts, size_t n_texts)
{
    for (size_t i = 0; i < n_texts; i++)
        free(texts[i]);
    free(texts);
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
