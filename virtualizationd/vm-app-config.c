/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-app-config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json-fields.h"
#include "common/text.h"
#include "composite-disk/gpt.h"
#include "composite-disk/payload-disk.h"
#include "composite-disk/payload-metadata.h"

#define OS_NAME_MAX 64

/* --- readers of values --- */

/* Whether one of the names between the slashes of @path is "..". */
static bool has_parent(const char *path)
{
    for (const char *name = path; name; name = strchr(name, '/')) {
        name += *name == '/';
        if (strncmp(name, "..", 2) == 0 && (name[2] == '/' || name[2] == '\0'))
            return true;
    }
    return false;
}

static int read_config_path(const JsonField *field,
                            json_object *value,
                            const char *pointer,
                            void *destination,
                            Error *error)
{
    const char *path = json_object_get_string(value);
    char shown[JSON_FIELD_SHOWN_SIZE];

    if (path[0] == '/' || has_parent(path)) {
        text_escape(path, strlen(path), shown, sizeof(shown));
        return JSON_INVALID(error, pointer,
                            "'%s' is not below the APK's root: name a file in it, as "
                            "'assets/vm_config.json'",
                            shown);
    }
    return json_field_read_string(field, value, pointer, destination, error);
}

static int read_key(const JsonField *field,
                    json_object *value,
                    const char *pointer,
                    void *destination,
                    Error *error)
{
    const char *key = json_object_get_string(value);
    char shown[JSON_FIELD_SHOWN_SIZE];

    if (strncmp(key, VM_APP_HOST_PREFIX, strlen(VM_APP_HOST_PREFIX)) == 0) {
        text_escape(key, strlen(key), shown, sizeof(shown));
        return JSON_INVALID(error, pointer,
                            "'%s' is a name for the host's own files: call it './%s', for example",
                            shown, shown);
    }
    return json_field_read_string(field, value, pointer, destination, error);
}

static int read_binary(const JsonField *field,
                       json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    const char *name = json_object_get_string(value);
    char shown[JSON_FIELD_SHOWN_SIZE];

    if (strchr(name, '/')) {
        text_escape(name, strlen(name), shown, sizeof(shown));
        return JSON_INVALID(error, pointer,
                            "'%s' is a path: a library in the APK is named without its folder",
                            shown);
    }
    return json_field_read_string(field, value, pointer, destination, error);
}

static int read_instance_id(const JsonField *field,
                            json_object *value,
                            const char *pointer,
                            void *destination,
                            Error *error)
{
    VmAppConfig *app = destination; /* the table has no offset for it */
    size_t length = (size_t)json_object_get_string_len(value);

    (void)field;
    if (length != 2 * sizeof(app->instance_id))
        return JSON_INVALID(error, pointer, "%zu characters, an instance id has %zu hex digits",
                            length, 2 * sizeof(app->instance_id));
    if (text_parse_hex(json_object_get_string(value), sizeof(app->instance_id), app->instance_id) <
        0)
        return JSON_INVALID(error, pointer, "an instance id has hex digits only");
    app->has_instance_id = true;
    return 0;
}

/* --- tables --- */

static int read_extra_apks(const JsonField *field,
                           json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);
static int read_apexes(const JsonField *field,
                       json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error);

static const char *const debug_levels[] = { "none", "full", NULL };

#define FILE_KEY(json_name, owner, member)                                         \
    {                                                                              \
        .name = json_name, .type = json_type_string, .read = read_key,             \
        .offset = offsetof(owner, member), .min = 1, .max = VM_CONFIG_FILE_KEY_MAX \
    }

static const JsonField extra_apk_fields[] = {
    FILE_KEY("apk", VmAppExtraApk, apk),
    FILE_KEY("idsig", VmAppExtraApk, idsig),
    { .name = NULL },
};

static const JsonField apex_fields[] = {
    JSON_FIELD_STRING("name", VmAppApex, name, 1, PAYLOAD_NAME_MAX),
    FILE_KEY("image", VmAppApex, image),
    { .name = NULL },
};

static const JsonField app_fields[] = {
    FILE_KEY("apk", VmAppConfig, apk),
    FILE_KEY("idsig", VmAppConfig, idsig),
    FILE_KEY("instance_image", VmAppConfig, instance_image),
    FILE_KEY("encrypted_storage", VmAppConfig, encrypted_storage),
    { .name = "config_path",
      .type = json_type_string,
      .read = read_config_path,
      .offset = offsetof(VmAppConfig, config_path),
      .min = 1,
      .max = PAYLOAD_PATH_MAX - sizeof(PAYLOAD_APK_DIRECTORY) }, /* it becomes one below that */
    { .name = "binary",
      .type = json_type_string,
      .read = read_binary,
      .offset = offsetof(VmAppConfig, binary),
      .min = 1,
      .max = PAYLOAD_NAME_MAX },
    { .name = "extra_apks", .type = json_type_array, .read = read_extra_apks },
    { .name = "apexes", .type = json_type_array, .read = read_apexes },
    { .name = "os",
      .type = json_type_string,
      .read = json_field_read_name,
      .offset = offsetof(VmAppConfig, os),
      .min = 1,
      .max = OS_NAME_MAX },
    JSON_FIELD_CHOICE("debug_level", VmAppConfig, debug_level, debug_levels),
    { .name = "instance_id", .type = json_type_string, .read = read_instance_id },
    { .name = NULL },
};

static int read_extra_apks(const JsonField *field,
                           json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    VmAppConfig *app = destination; /* the table has no offset for it */
    void *extra_apks = NULL;

    (void)field;
    int r = json_fields_read_array(extra_apk_fields, value, VM_CONFIG_EXTRA_APKS_MAX,
                                   sizeof(VmAppExtraApk), pointer, &extra_apks, &app->n_extra_apks,
                                   error);
    app->extra_apks = extra_apks;
    for (size_t i = 0; r >= 0 && i < app->n_extra_apks; i++) {
        const VmAppExtraApk *extra = &app->extra_apks[i];

        if (!extra->apk || !extra->idsig)
            r = JSON_INVALID(error, pointer, "extra APK %zu has no '%s'", i,
                             extra->apk ? "idsig" : "apk");
    }
    return r;
}

static int check_apex(const VmAppConfig *app, size_t index, const char *pointer, Error *error)
{
    const VmAppApex *apex = &app->apexes[index];

    if (!apex->name || !apex->image)
        return JSON_INVALID(error, pointer, "APEX %zu has no '%s'", index,
                            apex->name ? "image" : "name");
    for (size_t i = 0; i < index; i++) {
        if (strcmp(app->apexes[i].name, apex->name) == 0)
            return JSON_INVALID(error, pointer, "the APEX '%s' is there twice", apex->name);
    }
    return 0;
}

static int read_apexes(const JsonField *field,
                       json_object *value,
                       const char *pointer,
                       void *destination,
                       Error *error)
{
    VmAppConfig *app = destination; /* the table has no offset for it */
    void *apexes = NULL;

    (void)field;
    int r = json_fields_read_array(apex_fields, value, PAYLOAD_APEXES_MAX, sizeof(VmAppApex),
                                   pointer, &apexes, &app->n_apexes, error);
    app->apexes = apexes;
    for (size_t i = 0; r >= 0 && i < app->n_apexes; i++)
        r = check_apex(app, i, pointer, error);
    return r;
}

/* --- the whole --- */

static int check_app(const VmAppConfig *app, const char *pointer, Error *error)
{
    const struct {
        const char *key, *remedy;
        bool is_there;
    } needed[] = {
        { "apk", "the app", app->apk },
        { "idsig", "CreateOrUpdateIdsig makes one for an APK", app->idsig },
        { "instance_image",
          "InitializeWritablePartition makes one, of the type 'android-vm-instance'",
          app->instance_image },
        { "instance_id", "AllocateInstanceId gives one", app->has_instance_id },
    };
    size_t n_partitions = payload_disk_count(app->n_apexes, app->n_extra_apks);

    for (size_t i = 0; i < ELEMENTS_OF(needed); i++) {
        if (!needed[i].is_there)
            return JSON_INVALID(error, pointer, "'%s' is missing: %s", needed[i].key,
                                needed[i].remedy);
    }
    if (!app->config_path == !app->binary)
        return JSON_INVALID(error, pointer,
                            "an app is run by either a 'config_path' or a 'binary', not by %s",
                            app->binary ? "both" : "neither");
    if (n_partitions > GPT_PARTITIONS_MAX)
        return JSON_INVALID(error, pointer,
                            "%zu APEXes and %zu extra APKs, two partitions each, make a disk of "
                            "%zu partitions: at most %d fit",
                            app->n_apexes, app->n_extra_apks, n_partitions, GPT_PARTITIONS_MAX);
    return 0;
}

int vm_app_config_read(json_object *object,
                       const char *pointer,
                       VmAppConfig **ret_app,
                       Error *error)
{
    VmAppConfig *app = calloc(1, sizeof(*app));

    *ret_app = app; /* at once: what is read half-way is freed with the configuration */
    if (!app)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = json_fields_read(app_fields, object, pointer, app, error);
    if (r >= 0)
        r = check_app(app, pointer, error);
    if (r < 0 || app->os)
        return r;
    app->os = strdup(VM_CONFIG_OS_DEFAULT);
    return app->os ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}

VmAppConfig *vm_app_config_free(VmAppConfig *app)
{
    if (!app)
        return NULL;

    for (size_t i = 0; i < app->n_extra_apks; i++) {
        free(app->extra_apks[i].apk);
        free(app->extra_apks[i].idsig);
    }
    for (size_t i = 0; i < app->n_apexes; i++) {
        free(app->apexes[i].name);
        free(app->apexes[i].image);
    }
    free(app->extra_apks);
    free(app->apexes);
    free(app->apk);
    free(app->idsig);
    free(app->instance_image);
    free(app->encrypted_storage);
    free(app->config_path);
    free(app->binary);
    free(app->os);
    free(app);
    return NULL;
}
