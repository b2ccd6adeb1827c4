/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

static const struct {
    CgroupController controller;
    const char *name;
} controllers[] = {
    { CGROUP_MEMORY, "memory" },
    { CGROUP_PIDS, "pids" },
    { CGROUP_CPU, "cpu" },
    { CGROUP_IO, "io" },
};

const char *cgroup_controller_to_string(CgroupController controller)
{
    for (size_t i = 0; i < ELEMENTS_OF(controllers); i++) {
        if (controllers[i].controller == controller)
            return controllers[i].name;
    }
    return NULL;
}

/* A line of proc_pid_mountinfo(5): "ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS... - TYPE ...". The
 * mount point, which no blank is in, or NULL if it is no cgroup v2 hierarchy. */
static const char *parse_mount(char *line)
{
    char *type = strstr(line, " - ");
    char *field = line;

    if (!type || strncmp(type, " - cgroup2 ", strlen(" - cgroup2 ")) != 0)
        return NULL;
    for (int i = 0; i < 4 && field; i++) {
        field = strchr(field, ' ');
        field += field != NULL;
    }
    char *end = field ? strchr(field, ' ') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    return field;
}

int cgroup_open_root(int *ret_directory)
{
    _cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;

    if (!mounts)
        return -errno;
    while (getline(&line, &capacity, mounts) > 0) {
        const char *path = parse_mount(line);

        if (!path)
            continue;
        *ret_directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_directory < 0 ? -errno : 0;
    }
    return -ENOENT;
}

/* The line of cgroups(7), /proc/[pid]/cgroup, that cgroup v2 has: "0::PATH". */
int cgroup_open_own(int *ret_directory)
{
    _cleanup_fclose_ FILE *file = fopen("/proc/self/cgroup", "re");
    _cleanup_free_ char *line = NULL;
    _cleanup_close_ int root = -EBADF;
    size_t capacity = 0;

    if (!file)
        return -errno;
    int r = cgroup_open_root(&root);
    if (r < 0)
        return r;
    while (getline(&line, &capacity, file) > 0) {
        char *path = line + strlen("0::/");

        if (strncmp(line, "0::/", strlen("0::/")) != 0)
            continue;
        path[strcspn(path, "\n")] = '\0';
        *ret_directory = openat(root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_directory < 0 ? -errno : 0;
    }
    return -ENOENT;
}

static unsigned read_set(int directory, const char *name)
{
    char text[256] = " ", word[16];
    unsigned set = 0;

    _cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text + 1, sizeof(text) - 3);
    if (size <= 0)
        return 0;
    text[size] = ' '; /* in place of the newline */
    text[size + 1] = '\0';
    for (size_t i = 0; i < ELEMENTS_OF(controllers); i++) {
        (void)snprintf(word, sizeof(word), " %s ", controllers[i].name);
        if (strstr(text, word))
            set |= controllers[i].controller;
    }
    return set;
}

unsigned cgroup_get_controllers(int directory)
{
    return read_set(directory, "cgroup.controllers");
}

unsigned cgroup_get_delegated_controllers(int directory)
{
    return read_set(directory, "cgroup.subtree_control");
}
