/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/config-files.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "vmctl/bus-value.h"
#include "vmctl/config-json.h"

/* Notes the file at @key of @object, if there is a string: the service names what is wrong. */
static int take_path(
    ConfigFiles *config, struct json_object *object, const char *key, bool writable, Error *error)
{
    const char *path;

    if (!bus_value_get_string(object, key, &path))
        return 0;
    if (strlen(path) != (size_t)json_object_get_string_len(json_object_object_get(object, key)))
        return error_set(error, ERROR_INVALID_CONFIG, "the path '%s' has a NUL character", path);
    for (size_t i = 0; i < config->n_files; i++) {
        if (strcmp(config->files[i].path, path) == 0) {
            config->files[i].writable |= writable;
            return 0;
        }
    }

    ConfigFile *files = reallocarray(config->files, config->n_files + 1, sizeof(ConfigFile));
    if (!files)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    config->files = files;
    char *copy = strdup(path);
    if (!copy)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    files[config->n_files++] = (ConfigFile){ .path = copy, .writable = writable, .fd = -EBADF };
    return 0;
}

/* Lends the array at @key; NULL when there is none. */
static struct json_object *get_array(struct json_object *object,
                                     const char *key,
                                     size_t *ret_length)
{
    struct json_object *array = NULL;

    *ret_length = 0;
    if (!json_object_object_get_ex(object, key, &array) ||
        !json_object_is_type(array, json_type_array))
        return NULL;
    *ret_length = json_object_array_length(array);
    return array;
}

static int take_disk(ConfigFiles *config, struct json_object *disk, Error *error)
{
    size_t n_partitions;
    struct json_object *partitions = get_array(disk, "partitions", &n_partitions);

    int r = take_path(config, disk, "image", bus_value_is_true(disk, "writable"), error);
    for (size_t i = 0; r >= 0 && i < n_partitions; i++) {
        struct json_object *partition = json_object_array_get_idx(partitions, i);

        r = take_path(config, partition, "path", bus_value_is_true(partition, "writable"), error);
    }
    return r;
}

/* The files at these keys of each object in the array. */
static int take_each(ConfigFiles *config,
                     struct json_object *object,
                     const char *array_key,
                     const char *const *keys,
                     Error *error)
{
    size_t length;
    struct json_object *array = get_array(object, array_key, &length);
    int r = 0;

    for (size_t i = 0; r >= 0 && i < length; i++) {
        for (const char *const *key = keys; r >= 0 && *key; key++)
            r = take_path(config, json_object_array_get_idx(array, i), *key, false, error);
    }
    return r;
}

static int take_app(ConfigFiles *config, struct json_object *app, Error *error)
{
    static const char *const extra_keys[] = { "apk", "idsig", NULL };
    static const char *const apex_keys[] = { "image", NULL };

    int r = take_path(config, app, "apk", false, error);
    if (r >= 0)
        r = take_path(config, app, "idsig", false, error);
    if (r >= 0)
        r = take_path(config, app, "instance_image", true, error);
    if (r >= 0)
        r = take_path(config, app, "encrypted_storage", true, error);
    if (r >= 0)
        r = take_each(config, app, "extra_apks", extra_keys, error);
    if (r >= 0)
        r = take_each(config, app, "apexes", apex_keys, error);
    return r;
}

static int take_files(ConfigFiles *config, struct json_object *object, Error *error)
{
    static const char *const keys[] = { "kernel", "initrd", "bootloader" };
    size_t n_disks;
    struct json_object *disks = get_array(object, "disks", &n_disks), *app = NULL;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(keys); i++)
        r = take_path(config, object, keys[i], false, error);
    for (size_t i = 0; r >= 0 && i < n_disks; i++)
        r = take_disk(config, json_object_array_get_idx(disks, i), error);
    if (r >= 0 && json_object_object_get_ex(object, "payload", &app) &&
        json_object_is_type(app, json_type_object))
        r = take_app(config, app, error);
    return r;
}

static int replace_name(struct json_object *object, const char *name, Error *error)
{
    if (!text_is_utf8(name, strlen(name)))
        return error_set(error, ERROR_INVALID_ARGUMENT, "the name '%s' is no UTF-8", name);

    struct json_object *value = json_object_new_string(name);
    if (!value || json_object_object_add(object, "name", value) < 0) {
        json_object_put(value);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

int config_files_parse(const char *text, const char *name, ConfigFiles **ret_config, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = config_json_parse(text, &object, error);
    if (r < 0)
        return r;
    if (name) {
        r = replace_name(object, name, error);
        if (r < 0)
            return r;
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE);
    }

    _cleanup_(config_files_freep) ConfigFiles *config = calloc(1, sizeof(*config));
    if (!config)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    config->text = text ? strdup(text) : NULL;
    if (!config->text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    const char *given_name;
    if (bus_value_get_string(object, "name", &given_name)) {
        config->name = strdup(given_name);
        if (!config->name)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    r = take_files(config, object, error);
    if (r < 0)
        return r;

    *ret_config = TAKE_PTR(config);
    return 0;
}

/* All of the file as text. */
static int read_text(const char *path, char **ret_text, Error *error)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s'", path);
    _cleanup_free_ char *text = malloc(JSON_FIELDS_SIZE_MAX + 2);
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    size_t size;
    /* One byte above the maximum shows a file that is too large. */
    int r = fd_read_all(fd, text, JSON_FIELDS_SIZE_MAX + 1, &size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", path);
    if (memchr(text, '\0', size))
        return error_set(error, ERROR_INVALID_CONFIG, "%s: the configuration has a NUL character",
                         path);
    text[size] = '\0';

    *ret_text = TAKE_PTR(text);
    return 0;
}

static int open_directory_of(const char *path, int *ret_fd, Error *error)
{
    _cleanup_free_ char *copy = strdup(path);
    if (!copy)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int fd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open the directory of '%s'",
                               path);
    *ret_fd = fd;
    return 0;
}

int config_files_load(const char *path, const char *name, ConfigFiles **ret_config, Error *error)
{
    _cleanup_(config_files_freep) ConfigFiles *config = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int directory_fd = -EBADF;

    int r = read_text(path, &text, error);
    if (r < 0)
        return r;
    Error cause = ERROR_INIT;
    r = config_files_parse(text, name, &config, &cause);
    if (r < 0) {
        (void)error_set(error, cause.kind, "%s: %s", path, error_get_message(&cause));
        error_clear(&cause);
        return r;
    }
    r = open_directory_of(path, &directory_fd, error);
    if (r < 0)
        return r;
    r = config_files_open(config, directory_fd, error);
    if (r < 0)
        return r;

    *ret_config = TAKE_PTR(config);
    return 0;
}

int config_files_open(ConfigFiles *config, int directory_fd, Error *error)
{
    for (size_t i = 0; i < config->n_files; i++) {
        ConfigFile *file = &config->files[i];
        /* Without O_NONBLOCK a FIFO would be waited for; what the service takes does not care. */
        int flags = (file->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

        file->fd = openat(directory_fd, file->path, flags);
        if (file->fd < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s'%s", file->path,
                                   file->writable ? " for writing" : "");
    }
    return 0;
}

void config_files_take_fd(ConfigFiles *config, const char *path, int fd)
{
    for (size_t i = 0; i < config->n_files; i++) {
        if (strcmp(config->files[i].path, path) == 0 && config->files[i].fd < 0) {
            config->files[i].fd = fd;
            return;
        }
    }
    (void)fd_close(fd); /* of a file that is named twice */
}

ConfigFiles *config_files_free(ConfigFiles *config)
{
    if (!config)
        return NULL;

    for (size_t i = 0; i < config->n_files; i++) {
        (void)fd_close(config->files[i].fd);
        free(config->files[i].path);
    }
    free(config->files);
    free(config->name);
    free(config->text);
    free(config);
    return NULL;
}
