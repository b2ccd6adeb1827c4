/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/text.h"

#define ESCAPED_SIZE_MAX 4 /* \xNN */
#define USEC_PER_SEC     INT64_C(1000000)

/* Also for C1 controls, U+0080 to U+009F, which drive terminals as C0 ones do. */
static bool is_harmless(const char *text)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
        if ((byte[0] < 0x20 && byte[0] != '\n') || byte[0] == 0x7f ||
            (byte[0] == 0xc2 && byte[1] < 0xa0))
            return false;
    }
    return text_is_utf8(text, strlen(text));
}

char *output_dup_escaped(const char *text)
{
    if (is_harmless(text))
        return strdup(text);

    size_t size = strlen(text), capacity = size * ESCAPED_SIZE_MAX + 1;
    char *escaped = malloc(capacity);
    if (escaped)
        text_escape(text, size, escaped, capacity);
    return escaped;
}

char *output_dup_log(const char *text)
{
    size_t size = strlen(text), capacity = size * ESCAPED_SIZE_MAX + 1;
    char *escaped = malloc(capacity);

    if (escaped)
        text_escape(text, size, escaped, capacity);
    return escaped;
}

char *output_dup_line(const char *text)
{
    char *line = output_dup_escaped(text);

    for (char *newline = line; newline && (newline = strchr(newline, '\n'));)
        *newline = ' ';
    return line;
}

void output_format_time(int64_t time_usec, char text[static OUTPUT_TIME_SIZE])
{
    time_t seconds = (time_t)(time_usec / USEC_PER_SEC);
    struct tm broken_down;
    size_t length = 0;

    if (localtime_r(&seconds, &broken_down))
        length = strftime(text, OUTPUT_TIME_SIZE, "%F %T", &broken_down);
    (void)snprintf(text + length, OUTPUT_TIME_SIZE - length, ".%06d",
                   (int)(time_usec % USEC_PER_SEC));
}

void output_diagnostic(const char *format, ...)
{
    _cleanup_free_ char *text = NULL, *line = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    if (text)
        line = output_dup_line(text);
    fprintf(stderr, "vmctl: %s\n", line ? line : "out of memory");
}

void output_error(const Error *error)
{
    output_diagnostic("%s", error_get_message(error));
}

bool output_has_legend(const Options *options)
{
    return !options->no_legend && !options->quiet && isatty(STDOUT_FILENO) == 1;
}

void output_json(struct json_object *value, JsonFormat format)
{
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

    if (format == JSON_FORMAT_PRETTY)
        flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    /* NULL is JSON's null to json-c, "null" in print too. */
    (void)puts(json_object_to_json_string_ext(value, flags)); /* output_finish() sees an error */
}

int output_finish(Error *error)
{
    if (fflush(stdout) != 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot write to standard output");
    if (ferror(stdout))
        return error_set(error, ERROR_FAILED, "cannot write to standard output");
    return 0;
}
