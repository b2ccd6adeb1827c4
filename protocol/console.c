/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/console.h"

#include <errno.h>
#include <string.h>

static const char *const mode_names[CONSOLE_MODE_MAX] = {
    [CONSOLE_READ_ONLY] = "read-only",
    [CONSOLE_READ_WRITE] = "read-write",
    [CONSOLE_TAKE_OVER] = "take-over",
};

static const char *const log_names[LOG_KIND_MAX] = {
    [LOG_KIND_CONSOLE] = "console",
    [LOG_KIND_GUEST] = "guest",
    [LOG_KIND_VMM] = "vmm",
};

static int find_name(const char *const *names, unsigned n_names, const char *name)
{
    for (unsigned i = 0; i < n_names; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -EINVAL;
}

int console_mode_from_string(const char *name, ConsoleMode *ret_mode)
{
    int mode = find_name(mode_names, CONSOLE_MODE_MAX, name);
    if (mode < 0)
        return mode;

    *ret_mode = (ConsoleMode)mode;
    return 0;
}

int log_kind_from_string(const char *name, LogKind *ret_kind)
{
    int kind = find_name(log_names, LOG_KIND_MAX, name);
    if (kind < 0)
        return kind;

    *ret_kind = (LogKind)kind;
    return 0;
}
