/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/work-directory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define DIRECTORY_MODE 0700 /* as the specification wants it */

static int make_default_path(const char *name, char **ret_path, Error *error)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int r;

    if (state && state[0] == '/') /* a relative one is ignored: the specification */
        r = asprintf(ret_path, "%s/vmctl/%s", state, name);
    else if (home && home[0] == '/')
        r = asprintf(ret_path, "%s/.local/state/vmctl/%s", home, name);
    else
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "neither $XDG_STATE_HOME nor $HOME says where the state of '%s' is: use "
                         "'--work-dir'",
                         name);
    return r < 0 ? error_set(error, ERROR_NO_MEMORY, "out of memory") : 0;
}

/* Whether a directory's name ends at @size. */
static bool is_end(const char *path, size_t size)
{
    return size > 0 && (path[size] == '/' || path[size] == '\0') && path[size - 1] != '/';
}

static int make(WorkDirectory *directory, Error *error)
{
    char *path = directory->path;
    size_t length = strlen(path);

    for (size_t size = 1; size <= length; size++) {
        if (!is_end(path, size))
            continue;
        char behind = path[size];
        path[size] = '\0';
        int r = mkdir(path, DIRECTORY_MODE) < 0 ? -errno : 0;
        path[size] = behind;
        if (r >= 0 && directory->made_size == 0)
            directory->made_size = size;
        if (r < 0 && r != -EEXIST)
            return error_set_errno(error, ERROR_FAILED, r, "cannot make the directory '%s'", path);
    }
    return 0;
}

int work_directory_make(WorkDirectory *directory, const char *path, const char *name, Error *error)
{
    int r = 0;

    if (!path)
        r = make_default_path(name, &directory->path, error);
    else if ((directory->path = strdup(path)) == NULL)
        r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    return r < 0 ? r : make(directory, error);
}

void work_directory_keep(WorkDirectory *directory)
{
    directory->made_size = 0;
}

void work_directory_deinit(WorkDirectory *directory)
{
    char *path = directory->path;

    for (size_t size = directory->made_size > 0 ? strlen(path) : 0;
         size > 0 && size >= directory->made_size; size--) {
        if (!is_end(path, size))
            continue;
        path[size] = '\0';
        (void)rmdir(path); /* what is not empty has become somebody's */
    }
    free(path);
    *directory = (WorkDirectory){ 0 };
}
