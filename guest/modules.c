/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"

#define LIST_SIZE_MAX    4096
#define MODULE_DIRECTORY "/lib/modules/"

int modules_next_name(const char **cursor, char name[static MODULE_NAME_MAX + 1])
{
    const char *line = *cursor + strspn(*cursor, "\n");
    size_t size = strcspn(line, "\n");

    if (size == 0)
        return 0;
    if (size > MODULE_NAME_MAX || line[0] == '.' || memchr(line, '/', size))
        return -EBADMSG;

    memcpy(name, line, size);
    name[size] = '\0';
    *cursor = line + size;
    return 1;
}

static int module_load(const char *name)
{
    char path[sizeof(MODULE_DIRECTORY) + MODULE_NAME_MAX];

    (void)snprintf(path, sizeof(path), MODULE_DIRECTORY "%s", name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int modules_load(const char *path, Error *error)
{
    char list[LIST_SIZE_MAX + 1], name[MODULE_NAME_MAX + 1];
    const char *cursor = list;
    int r;

    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", path);
    ssize_t size = read(fd, list, sizeof(list));
    if (size < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot read %s", path);
    if (size > LIST_SIZE_MAX)
        return error_set_errno(error, ERROR_FAILED, EFBIG, "cannot read %s", path);
    list[size] = '\0';

    while ((r = modules_next_name(&cursor, name)) > 0) {
        r = module_load(name);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot load %s", name);
    }
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot parse %s", path) : 0;
}
