/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"

#define LIST_SIZE_MAX    4096
#define MODULE_DIRECTORY "/lib/modules/"

/* Copies @size bytes into @text, which takes @capacity and a zero byte. */
static bool copy_text(const char *bytes, size_t size, char *text, size_t capacity)
{
    if (size > capacity)
        return false;
    memcpy(text, bytes, size);
    text[size] = '\0';
    return true;
}

int modules_next(const char **cursor, Module *ret_module)
{
    const char *line = *cursor + strspn(*cursor, "\n");
    size_t size = strcspn(line, "\n"), name_size = strcspn(line, " \n");
    const char *options = line + name_size + (line[name_size] == ' ');
    Module module;

    if (size == 0)
        return 0;
    if (name_size == 0 || line[0] == '.' || memchr(line, '/', name_size) ||
        !copy_text(line, name_size, module.name, MODULE_NAME_MAX) ||
        !copy_text(options, (size_t)(line + size - options), module.options, MODULE_OPTIONS_MAX))
        return -EBADMSG;

    *ret_module = module;
    *cursor = line + size;
    return 1;
}

static int module_load(const Module *module)
{
    char path[sizeof(MODULE_DIRECTORY) + MODULE_NAME_MAX];

    (void)snprintf(path, sizeof(path), MODULE_DIRECTORY "%s", module->name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (syscall(SYS_finit_module, fd, module->options, 0) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int modules_load(const char *path, Error *error)
{
    char list[LIST_SIZE_MAX + 1];
    const char *cursor = list;
    Module module;
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

    while ((r = modules_next(&cursor, &module)) > 0) {
        r = module_load(&module);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot load %s", module.name);
    }
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot parse %s", path) : 0;
}
