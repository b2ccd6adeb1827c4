/* SPDX-License-Identifier: Apache-2.0 */
/* "run-app": a VM of an archive. What its configuration needs beside, an instance with an image and
 * an id, is made on the first run and found again on the next. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "common/text.h"
#include "vmctl/app-archive.h"
#include "vmctl/app-instance.h"
#include "vmctl/bus-value.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/run-streams.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-run.h"
#include "vmctl/vm-validate.h"

#define ARCHIVE_SUFFIX  ".apk"
#define NAME_MAX_SIZE   64 /* the service's limit for a VM's name */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

typedef struct AppRun {
    const Options *options;
    const char *apk, *idsig, *image; /* the arguments */
    char name[NAME_MAX_SIZE + 1];
    uint64_t memory_mib, storage_size; /* 0: not given */
    Client *client;
    AppArchive archive;
    const char *binary; /* NULL: the configuration in the archive says what is run */
    char **extra_apks;  /* paths of those that it names */
    size_t n_extra_apks;
    NamedFds apks; /* the app's, then the extra ones */
    AppInstance *instance;
    RunStreams streams;
    NamedFds files; /* of the streams */
    ConfigFiles *config;
} AppRun;

static void app_run_deinit(AppRun *run)
{
    config_files_free(run->config);
    named_fds_deinit(&run->files);
    run_streams_deinit(&run->streams);
    app_instance_free(run->instance);
    named_fds_deinit(&run->apks);
    app_archive_free_extra_apks(run->extra_apks, run->n_extra_apks);
    app_archive_deinit(&run->archive);
    client_free(run->client);
}

/* --- the command line --- */

static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= NAME_MAX_SIZE && text[0] != '-' && text[0] != '.' &&
           text[strspn(text, NAME_CHARACTERS)] == '\0';
}

/* The file's name without what no VM's name can have. */
static void derive_name(const char *apk, char name[static NAME_MAX_SIZE + 1])
{
    const char *slash = strrchr(apk, '/'), *file = slash ? slash + 1 : apk;
    size_t length = strlen(file), suffix = strlen(ARCHIVE_SUFFIX);

    if (length > suffix && strcmp(file + length - suffix, ARCHIVE_SUFFIX) == 0)
        length -= suffix;
    (void)snprintf(name, NAME_MAX_SIZE + 1, "%.*s", (int)length, file);
    for (char *c = name; *c; c++) {
        if (!strchr(NAME_CHARACTERS, *c) || (c == name && (*c == '-' || *c == '.')))
            *c = '_';
    }
}

static int take_name(AppRun *run, Error *error)
{
    const char *name = run->options->name;

    if (name && !is_name(name))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--name=%s': a name has up to %d letters, digits, '-', '_' and '.', and "
                         "does not begin with '-' or '.'",
                         name, NAME_MAX_SIZE);
    if (name)
        (void)snprintf(run->name, sizeof(run->name), "%s", name);
    else
        derive_name(run->apk, run->name);
    return 0;
}

static int take_numbers(AppRun *run, Error *error)
{
    const Options *options = run->options;

    if (options->memory &&
        (text_parse_u64(options->memory, INT32_MAX, &run->memory_mib) < 0 || run->memory_mib == 0))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--mem' takes a number of MiB, at least 1, not '%s'", options->memory);
    return options->storage_size ? quantity_parse_size(options->storage_size, "'--storage-size'", 1,
                                                       INT64_MAX, &run->storage_size, error)
                                 : 0;
}

/* Options that contradict each other. */
static int check_options(const AppRun *run, Error *error)
{
    const Options *options = run->options;

    if (options->n_arguments == 2)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'run-app' takes an APK, or an APK, an IDSIG and an INSTANCE; there is "
                         "only '%s' behind the APK%s",
                         options->arguments[1],
                         options_wants_console(options) ? " (or is it for '--console=FILE'?)" : "");
    if (options->config_path && options->binary)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--config-path' does not go with '--payload-binary-name': one of them "
                         "says what is run");
    if (options->config_path && options->extra_apks.n_values > 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--extra-apk' does not go with '--config-path': the configuration names "
                         "the extra APKs");
    if (run->image && options->work_dir)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--work-dir' is for an app without IDSIG and INSTANCE");
    if (run->image && options->storage_size && !options->storage)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--storage-size' with an INSTANCE needs '--storage=FILE'");
    return 0;
}

static int take_command_line(AppRun *run, Error *error)
{
    const Options *options = run->options;

    run->apk = options->arguments[0];
    if (options->n_arguments == 3) {
        run->idsig = options->arguments[1];
        run->image = options->arguments[2];
    }
    int r = check_options(run, error);
    if (r >= 0)
        r = take_numbers(run, error);
    return r < 0 ? r : take_name(run, error);
}

/* --- archives --- */

static int add_apk(AppRun *run, const char *path, Error *error)
{
    ByteSource source;

    int r = byte_source_open(path, &source, error);
    return r < 0 ? r : named_fds_add(&run->apks, path, source.fd, error);
}

/* Those of the options, or those that the configuration in the archive names. */
static int add_extra_apks(AppRun *run, Error *error)
{
    const Options *options = run->options;
    const OptionList *list = &options->extra_apks;
    int r = 0;

    if (options->config_path)
        r = app_archive_read_extra_apks(&run->archive, options->config_path, &run->extra_apks,
                                        &run->n_extra_apks, error);
    for (size_t i = 0; r >= 0 && i < run->n_extra_apks; i++)
        r = add_apk(run, run->extra_apks[i], error);
    for (size_t i = 0; r >= 0 && i < list->n_values; i++)
        r = add_apk(run, list->values[i], error);
    return r;
}

static int check_counts(const AppRun *run, Error *error)
{
    size_t n_extra_apks = run->apks.n_items - 1, n_idsigs = run->options->extra_idsigs.n_values;

    if (n_idsigs == n_extra_apks || (n_idsigs == 0 && !run->idsig))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "there are %zu extra APKs and %zu extra idsigs: give an '--extra-idsig' for "
                     "each",
                     n_extra_apks, n_idsigs);
}

static int open_archives(AppRun *run, Error *error)
{
    int r = app_archive_open(run->apk, &run->archive, error);

    if (r >= 0 && !run->options->config_path)
        r = app_archive_find_binary(&run->archive, run->options->binary, &run->binary, error);
    if (r >= 0)
        r = add_apk(run, run->apk, error);
    if (r >= 0)
        r = add_extra_apks(run, error);
    return r < 0 ? r : check_counts(run, error);
}

/* --- the configuration --- */

/* Takes @value, which may be NULL. */
static int add(struct json_object *object, const char *key, struct json_object *value, Error *error)
{
    if (value && json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* NULL is left out. */
static int add_text(struct json_object *object, const char *key, const char *text, Error *error)
{
    if (!text)
        return 0;
    if (!text_is_utf8(text, strlen(text)))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' is no UTF-8, and the service takes no other text", text);
    return add(object, key, json_object_new_string(text), error);
}

static int add_extra_apk(const AppRun *run, struct json_object *array, size_t i, Error *error)
{
    struct json_object *extra_apk = json_object_new_object();

    if (!extra_apk || json_object_array_add(array, extra_apk) < 0) {
        json_object_put(extra_apk);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    int r = add_text(extra_apk, "apk", run->apks.items[i].key, error);
    return r < 0 ? r : add_text(extra_apk, "idsig", run->instance->idsigs[i].path, error);
}

static int describe_payload(const AppRun *run, struct json_object *payload, Error *error)
{
    const Options *options = run->options;
    const AppInstance *instance = run->instance;
    char id[2 * APP_INSTANCE_ID_SIZE + 1];
    const struct {
        const char *key, *text;
    } texts[] = {
        { "apk", run->apk },
        { "idsig", instance->idsigs[0].path },
        { "instance_image", instance->image.path },
        { "instance_id", id },
        { "encrypted_storage", instance->storage.path },
        { "binary", run->binary },
        { "config_path", options->config_path },
        { "os", options->os },
        { "debug_level", options->debug },
    };
    struct json_object *extra_apks = json_object_new_array();
    int r = add(payload, "extra_apks", extra_apks, error);

    text_hex(instance->id, sizeof(instance->id), id);
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(texts); i++)
        r = add_text(payload, texts[i].key, texts[i].text, error);
    for (size_t i = 1; r >= 0 && i < run->apks.n_items; i++)
        r = add_extra_apk(run, extra_apks, i, error);
    return r;
}

static int describe(const AppRun *run, struct json_object *object, Error *error)
{
    const Options *options = run->options;
    struct json_object *payload = json_object_new_object();

    int r = add(object, "payload", payload, error);
    if (r >= 0)
        r = describe_payload(run, payload, error);
    if (r >= 0)
        r = add_text(object, "name", run->name, error);
    if (r >= 0)
        r = add_text(object, "cpu_topology", options->cpu_topology, error);
    if (r >= 0 && run->memory_mib > 0)
        r = add(object, "memory_mib", json_object_new_uint64(run->memory_mib), error);
    if (r >= 0 && options->protected)
        r = add(object, "protected", json_object_new_boolean(true), error);
    return r;
}

static int make_config(AppRun *run, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    if (!object)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = describe(run, object, error);
    if (r < 0)
        return r;
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = config_files_parse(text, NULL, &run->config, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < run->apks.n_items; i++)
        config_files_take_fd(run->config, run->apks.items[i].key, take_fd(&run->apks.items[i].fd));
    app_instance_give_files(run->instance, run->config);
    return 0;
}

/* --- in order --- */

static int open_instance(AppRun *run, Error *error)
{
    const Options *options = run->options;
    const AppInstanceRequest request = {
        .work_dir = options->work_dir,
        .name = run->name,
        .idsig = run->idsig,
        .image = run->image,
        .extra_idsigs = &options->extra_idsigs,
        .id_file = options->instance_id_file,
        .storage = options->storage,
        .storage_size = run->storage_size,
        .apks = &run->apks,
    };

    return app_instance_open(run->client, &request, &run->instance, error);
}

/* All that is there before the VM. */
static int prepare(AppRun *run, Error *error)
{
    int r = vm_run_check_options(run->options, error);

    if (r >= 0)
        r = take_command_line(run, error);
    if (r >= 0)
        r = open_archives(run, error);
    if (r >= 0)
        r = client_new(run->options, &run->client, error);
    if (r >= 0 && !run->options->dry_run)
        r = run_streams_open(&run->streams, run->options, &run->files, error);
    if (r >= 0)
        r = open_instance(run, error);
    return r < 0 ? r : make_config(run, error);
}

/* Once it is started. */
static void keep(AppRun *run)
{
    const AppInstance *instance = run->instance;

    run_streams_keep(&run->streams);
    app_instance_keep(run->instance);
    if (instance->image.is_new && !run->options->quiet)
        output_diagnostic("made an instance of '%s' in '%s'", run->apk,
                          app_instance_get_place(instance));
}

int verb_run_app(const Options *options)
{
    _cleanup_(app_run_deinit) AppRun app = { .options = options, .archive = APP_ARCHIVE_INIT };
    VmRunOptions run_options = { .command_line = options,
                                 .detach = options->detach,
                                 .forget = options->rm,
                                 .console = options_wants_console(options),
                                 .files = &app.files };
    _cleanup_(vm_run_freep) VmRun *run = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = prepare(&app, &error);
    if (r < 0 && error.kind == ERROR_INVALID_ARGUMENT) {
        output_error(&error);
        return EXIT_STATUS_USAGE;
    }
    if (r < 0)
        return vm_run_report(&run_options, &error);
    if (options->dry_run) /* what was made for it goes again */
        return vm_validate_report(options, app.client, app.config);
    run_options.instance = app_instance_get_place(app.instance);
    r = vm_run_start(app.client, app.config, &run_options, &run, &error);
    if (r < 0)
        return vm_run_report(&run_options, &error);
    keep(&app);
    r = vm_run_wait(run, &error);
    return r < 0 ? vm_run_report(&run_options, &error) : r;
}
