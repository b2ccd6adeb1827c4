/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/os-list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"

typedef struct Names {
    char **names; /* OS_NAMES_MAX, and NULL behind the last */
    size_t n;
} Names;

char **os_list_free(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
    return NULL;
}

/* The bus takes no other strings, and nobody can name such a directory. */
static bool is_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return *name != '.' && strspn(name, allowed) == strlen(name);
}

static bool has_description(int directory, const char *name)
{
    char path[NAME_MAX + sizeof("/os.json")];

    (void)snprintf(path, sizeof(path), "%s/os.json", name);
    _cleanup_close_ int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static int add(Names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->names[i], name) == 0)
            return 0;
    }
    if (names->n == OS_NAMES_MAX)
        return -E2BIG;
    names->names[names->n] = strdup(name);
    if (!names->names[names->n])
        return -ENOMEM;
    names->n++;
    return 0;
}

static int read_directory(const char *path, Names *names)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int r = 0;

    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    while (r >= 0 && (entry = readdir(directory))) {
        if (is_name(entry->d_name) && has_description(dirfd(directory), entry->d_name))
            r = add(names, entry->d_name);
    }
    (void)closedir(directory); /* only read */
    return r;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int os_list_read(const char *const *dirs, char ***ret_names, size_t *ret_n_names)
{
    Names names = { .names = calloc(OS_NAMES_MAX + 1, sizeof(char *)) };
    int r = 0;

    if (!names.names)
        return -ENOMEM;
    for (; r >= 0 && *dirs; dirs++)
        r = read_directory(*dirs, &names);
    if (r < 0) {
        os_list_free(names.names);
        return r;
    }
    qsort(names.names, names.n, sizeof(char *), compare);
    *ret_names = names.names;
    *ret_n_names = names.n;
    return 0;
}
