/* SPDX-License-Identifier: Apache-2.0 */
#include "common/program-path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_dup_sibling_path(const char *name, char **ret_path)
{
    char self[PATH_MAX];

    ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
    if (n < 0)
        return -errno;
    if ((size_t)n == sizeof(self))
        return -ENAMETOOLONG;

    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    if (asprintf(ret_path, "%s/%s", self, name) < 0)
        return -ENOMEM;
    return 0;
}
