/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/text.h"

static int max_level = LOG_INFO; /* the one mutable file-scope variable of the tree */

void log_set_max_level(int priority)
{
    max_level = priority;
}

void log_set_max_level_from_environment(void)
{
    static const char *const names[] = { "emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug" };
    const char *value = getenv("VIRTUALIZATIOND_LOG_LEVEL");
    uint64_t number;

    if (!value)
        return;
    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        if (strcmp(names[i], value) == 0) {
            max_level = (int)i;
            return;
        }
    }
    if (text_parse_u64(value, LOG_DEBUG, &number) == 0)
        max_level = (int)number;
    else
        log_warning("VIRTUALIZATIOND_LOG_LEVEL: no level '%s'", value);
}

void log_line(int priority, const char *format, ...)
{
    char line[1024];
    int saved = errno, prefix = 0;
    va_list arguments;

    if (priority > max_level)
        return;

    if (getenv("JOURNAL_STREAM"))
        prefix = snprintf(line, sizeof(line), "<%d>", priority);
    va_start(arguments, format);
    int length = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix, format, arguments);
    va_end(arguments);
    if (length >= 0) {
        size_t size = strlen(line);
        if (size == sizeof(line) - 1)
            size--;
        line[size++] = '\n';
        /* One write a line, so that lines of several processes do not mix; a stderr that takes
         * nothing is no reason to stop. */
        ssize_t ignored = write(STDERR_FILENO, line, size);
        (void)ignored;
    }
    errno = saved;
}
