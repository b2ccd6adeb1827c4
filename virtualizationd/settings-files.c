/* SPDX-License-Identifier: Apache-2.0 */
/* The main file is the first that there is. Drop-ins, *.conf in the directories *.conf.d, are read
 * after it in the order of their names, whatever directory they are in; of one name only that of
 * the first directory counts. So an empty file, or a symbolic link to /dev/null, masks what the
 * later directories have of its name, and needs no code. */
#include "virtualizationd/settings-files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define DROP_IN_SUFFIX ".conf"

typedef struct PathList {
    char *paths[SETTINGS_FILES_MAX + 2]; /* with the main file, and NULL behind the last */
    size_t n_paths;
} PathList;

static void path_list_deinit(PathList *list)
{
    while (list->n_paths > 0)
        free(list->paths[--list->n_paths]);
}

char **settings_files_free(char **paths)
{
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
    return NULL;
}

static const char *get_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(get_name(*(char *const *)a), get_name(*(char *const *)b));
}

/* Takes @path, which may be NULL for want of memory. */
static int path_list_take(PathList *list, char *path, Error *error)
{
    if (!path)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    list->paths[list->n_paths++] = path;
    return 0;
}

static char *join(const char *directory, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static bool is_drop_in(const char *name)
{
    size_t length = strlen(name), suffix = strlen(DROP_IN_SUFFIX);

    return name[0] != '.' && length > suffix && strcmp(name + length - suffix, DROP_IN_SUFFIX) == 0;
}

static bool has_name(const PathList *list, const char *name)
{
    for (size_t i = 0; i < list->n_paths; i++) {
        if (strcmp(get_name(list->paths[i]), name) == 0)
            return true;
    }
    return false;
}

static int add_drop_ins(PathList *list, const char *directory, Error *error)
{
    const struct dirent *entry;
    DIR *stream = opendir(directory);
    int r = 0;

    if (!stream)
        return errno == ENOENT ? 0
                               : error_set_errno(error, ERROR_INVALID_ARGUMENT, errno,
                                                 "cannot read the directory %s", directory);
    while (r >= 0 && (entry = readdir(stream))) {
        if (!is_drop_in(entry->d_name) || has_name(list, entry->d_name))
            continue;
        if (list->n_paths == SETTINGS_FILES_MAX)
            r = error_set(error, ERROR_INVALID_ARGUMENT,
                          "%s: there are more than %d files of settings", directory,
                          SETTINGS_FILES_MAX);
        else
            r = path_list_take(list, join(directory, entry->d_name), error);
    }
    (void)closedir(stream); /* only read */
    return r;
}

/* The drop-ins of @file's own directory. */
static int add_drop_ins_of_file(PathList *list, const char *file, Error *error)
{
    _cleanup_free_ char *directory = NULL;

    if (asprintf(&directory, "%s.d", file) < 0) {
        directory = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return add_drop_ins(list, directory, error);
}

/* Sets @ret_main to the main file, or to NULL when there is none, and adds all drop-ins. */
static int find_in_directories(const SettingsPlaces *places,
                               PathList *drop_ins,
                               char **ret_main,
                               Error *error)
{
    _cleanup_free_ char *found = NULL;

    for (size_t i = 0; i < SETTINGS_DIRECTORIES_MAX && places->directories[i]; i++) {
        _cleanup_free_ char *file = join(places->directories[i], SETTINGS_FILE);

        if (!file)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        int r = add_drop_ins_of_file(drop_ins, file, error);
        if (r < 0)
            return r;
        if (found)
            continue;
        /* As the daemon's seccomp policy has no access(). */
        _cleanup_close_ int fd = open(file, O_PATH | O_CLOEXEC);
        if (fd >= 0)
            found = TAKE_PTR(file);
        else if (errno != ENOENT)
            return error_set_errno(error, ERROR_INVALID_ARGUMENT, errno, "%s", file);
    }
    *ret_main = TAKE_PTR(found);
    return 0;
}

static int find_of_file(const char *file, PathList *drop_ins, char **ret_main, Error *error)
{
    int r = add_drop_ins_of_file(drop_ins, file, error);

    if (r < 0)
        return r;
    *ret_main = strdup(file);
    return *ret_main ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}

int settings_files_find(const SettingsPlaces *places, char ***ret_paths, Error *error)
{
    _cleanup_(path_list_deinit) PathList drop_ins = { 0 };
    _cleanup_free_ char *main_file = NULL;
    size_t n_paths = 0;

    int r = places->file ? find_of_file(places->file, &drop_ins, &main_file, error)
                         : find_in_directories(places, &drop_ins, &main_file, error);
    if (r < 0)
        return r;
    qsort(drop_ins.paths, drop_ins.n_paths, sizeof(char *), compare_names);

    char **paths = calloc(drop_ins.n_paths + 2, sizeof(char *));
    if (!paths)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (main_file)
        paths[n_paths++] = TAKE_PTR(main_file);
    memcpy(paths + n_paths, drop_ins.paths, drop_ins.n_paths * sizeof(char *));
    drop_ins.n_paths = 0; /* they are the caller's */
    *ret_paths = paths;
    return 0;
}
