/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/app-archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "composite-disk/zip-stream.h"
#include "vmctl/bus-value.h"
#include "vmctl/config-json.h"

/* Where a guest looks, in this order (guest/app-payload.c). */
#define LIBRARY_FOLDER "lib/x86_64/"
#define PROGRAM_FOLDER "bin/"
#define LIBRARY_SUFFIX ".so"

#define USUAL_CONFIG_PATH "assets/vm_config.json" /* AVF's */
#define LISTED_MAX        10

/* Hands on @cause with the archive's name before it. */
static int refuse(const AppArchive *archive, Error *cause, Error *error)
{
    int r = error_set(error, cause->kind, "'%s': %s", archive->path, error_get_message(cause));

    error_clear(cause);
    return r;
}

int app_archive_open(const char *path, AppArchive *ret_archive, Error *error)
{
    AppArchive archive = { .path = path };
    Error cause = ERROR_INIT;

    int r = byte_source_open(path, &archive.source, error);
    if (r < 0)
        return r;
    if (zip_reader_new(&archive.source, &archive.reader, &cause) < 0) {
        (void)fd_close(archive.source.fd);
        return refuse(&archive, &cause, error);
    }
    *ret_archive = archive;
    return 0;
}

void app_archive_deinit(AppArchive *archive)
{
    zip_reader_free(archive->reader);
    archive->reader = NULL;
    archive->source.fd = fd_close(archive->source.fd);
}

/* --- what can be run --- */

static const ZipEntry *find_file(const AppArchive *archive, const char *folder, const char *name)
{
    char path[ZIP_NAME_MAX + 1];

    if ((size_t)snprintf(path, sizeof(path), "%s%s", folder, name) >= sizeof(path))
        return NULL;
    const ZipEntry *entry = zip_reader_find(archive->reader, path);
    return entry && !entry->is_directory ? entry : NULL;
}

/* The name of the file in that very folder; NULL when it is none. */
static const char *get_name_in(const ZipEntry *entry, const char *folder)
{
    size_t size = strlen(folder);

    if (entry->is_directory || strncmp(entry->name, folder, size) != 0 ||
        strchr(entry->name + size, '/'))
        return NULL;
    return entry->name + size;
}

/* The name to run the entry by; NULL for what is not there to be run. */
static const char *get_binary(const AppArchive *archive, const ZipEntry *entry)
{
    size_t suffix_size = strlen(LIBRARY_SUFFIX);

    const char *name = get_name_in(entry, LIBRARY_FOLDER);
    if (name) {
        size_t size = strlen(name);

        return size > suffix_size && strcmp(name + size - suffix_size, LIBRARY_SUFFIX) == 0 ? name
                                                                                            : NULL;
    }
    name = get_name_in(entry, PROGRAM_FOLDER);
    return name && !find_file(archive, LIBRARY_FOLDER, name) ? name : NULL;
}

/* How many there are, and the last of them. */
static size_t count_binaries(const AppArchive *archive, const char **ret_binary)
{
    size_t n = 0;

    for (size_t i = 0; i < archive->reader->n_entries; i++) {
        const char *binary = get_binary(archive, archive->reader->by_name[i]);

        if (!binary)
            continue;
        *ret_binary = binary;
        n++;
    }
    return n;
}

static void list_binaries(const AppArchive *archive, FILE *list)
{
    size_t n = 0;

    for (size_t i = 0; i < archive->reader->n_entries; i++) {
        const char *binary = get_binary(archive, archive->reader->by_name[i]);

        if (binary && n++ < LISTED_MAX)
            (void)fprintf(list, "%s'%s'", n > 1 ? ", " : "", binary);
    }
    if (n > LISTED_MAX)
        (void)fprintf(list, " and %zu more", n - LISTED_MAX);
}

/* What there is, for a sentence; NULL when out of memory. */
static char *dup_list(const AppArchive *archive)
{
    char *text = NULL;
    size_t size;
    FILE *list = open_memstream(&text, &size);

    if (!list)
        return NULL;
    list_binaries(archive, list);
    if (fclose(list) == 0)
        return text;
    free(text);
    return NULL;
}

int app_archive_find_binary(const AppArchive *archive,
                            const char *binary,
                            const char **ret_binary,
                            Error *error)
{
    const char *only = NULL;
    size_t n = count_binaries(archive, &only);

    if (binary && (find_file(archive, LIBRARY_FOLDER, binary) ||
                   find_file(archive, PROGRAM_FOLDER, binary))) {
        *ret_binary = binary;
        return 0;
    }
    if (!binary && n == 1) {
        *ret_binary = only;
        return 0;
    }

    _cleanup_free_ char *list = dup_list(archive);
    if (!list)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (n == 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' has nothing to be run: neither " LIBRARY_FOLDER "NAME" LIBRARY_SUFFIX
                         " nor " PROGRAM_FOLDER "NAME",
                         archive->path);
    if (!binary)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' has more than one program: choose by '--payload-binary-name' from "
                         "%s%s",
                         archive->path, list,
                         find_file(archive, "", USUAL_CONFIG_PATH)
                             ? ", or use '--config-path=" USUAL_CONFIG_PATH "'"
                             : "");
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "'%s' has neither " LIBRARY_FOLDER "%s nor " PROGRAM_FOLDER "%s, but %s",
                     archive->path, binary, binary, list);
}

/* --- the configuration in the archive --- */

static int read_config(const AppArchive *archive,
                       const char *config_path,
                       struct json_object **ret_config,
                       Error *error)
{
    _cleanup_free_ uint8_t *text = NULL;
    size_t size;
    Error cause = ERROR_INIT;

    const ZipEntry *entry = find_file(archive, "", config_path);
    if (!entry)
        return error_set(
            error, ERROR_INVALID_ARGUMENT, "'%s' has no file '%s'%s", archive->path, config_path,
            find_file(archive, "", USUAL_CONFIG_PATH) ? ", but '" USUAL_CONFIG_PATH "'" : "");
    int r = zip_read_entry(archive->reader, entry, JSON_FIELDS_SIZE_MAX, &text, &size, &cause);
    if (r >= 0 && memchr(text, '\0', size))
        r = error_set(&cause, ERROR_INVALID_CONFIG, "%s has a NUL character", config_path);
    if (r >= 0)
        r = config_json_parse((const char *)text, ret_config, &cause);
    return r < 0 ? refuse(archive, &cause, error) : 0;
}

/* @path as it is where the archive is; NULL when out of memory. */
static char *dup_place(const AppArchive *archive, const char *path)
{
    const char *slash = strrchr(archive->path, '/');
    char *place;

    if (path[0] == '/' || !slash)
        return strdup(path);
    return asprintf(&place, "%.*s/%s", (int)(slash - archive->path), archive->path, path) < 0
               ? NULL
               : place;
}

int app_archive_read_extra_apks(const AppArchive *archive,
                                const char *config_path,
                                char ***ret_paths,
                                size_t *ret_n_paths,
                                Error *error)
{
    _cleanup_(json_object_putp) struct json_object *config = NULL;
    struct json_object *extra_apks;
    size_t n_paths = 0;

    int r = read_config(archive, config_path, &config, error);
    if (r < 0)
        return r;
    size_t n = json_object_object_get_ex(config, "extra_apks", &extra_apks) &&
                       json_object_is_type(extra_apks, json_type_array)
                   ? json_object_array_length(extra_apks)
                   : 0;
    char **paths = calloc(n + 1, sizeof(*paths));
    if (!paths)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *path;

        if (!bus_value_get_string(json_object_array_get_idx(extra_apks, i), "path", &path))
            continue; /* the guest says what is wrong */
        paths[n_paths] = dup_place(archive, path);
        if (!paths[n_paths++]) {
            app_archive_free_extra_apks(paths, n_paths);
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        }
    }
    *ret_paths = paths;
    *ret_n_paths = n_paths;
    return 0;
}

void app_archive_free_extra_apks(char **paths, size_t n_paths)
{
    for (size_t i = 0; i < n_paths; i++)
        free(paths[i]);
    free(paths);
}
