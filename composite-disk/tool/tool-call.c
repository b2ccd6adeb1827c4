/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/tool/tool.h"

#define ESCAPED_SIZE_MAX 4 /* \xNN */

const char *tool_next_option(const ToolCall *call, const char *name, size_t *cursor)
{
    while (*cursor < call->n_given) {
        const ToolGivenOption *given = &call->given[(*cursor)++];

        if (strcmp(given->option->name, name) == 0)
            return given->value;
    }
    return NULL;
}

const char *tool_get_option(const ToolCall *call, const char *name)
{
    const char *last = NULL, *value;
    size_t cursor = 0;

    while ((value = tool_next_option(call, name, &cursor)))
        last = value;
    return last;
}

int tool_get_number(const ToolCall *call,
                    const char *name,
                    uint64_t max,
                    uint64_t value_if_missing,
                    uint64_t *ret_value,
                    Error *error)
{
    const char *text = tool_get_option(call, name);

    if (!text) {
        *ret_value = value_if_missing;
        return 0;
    }
    if (text_parse_u64(text, max, ret_value) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--%s' takes a number from 0 to %ju, not '%s'", name,
                         (uintmax_t)max, text);
    return 0;
}

void tool_add_string(struct json_object *object, const char *key, const char *text)
{
    tool_add_text(object, key, text, strlen(text));
}

/* As text_escape(), and newlines too: else a name could add rows of its own to a table. */
static void escape_lines(const char *text, size_t size, char *escaped, size_t capacity)
{
    size_t length = 0;

    for (;;) {
        const char *newline = memchr(text, '\n', size);
        size_t n = newline ? (size_t)(newline - text) : size;

        length += text_escape(text, n, escaped + length, capacity - length);
        if (!newline)
            return;
        length += (size_t)snprintf(escaped + length, capacity - length, "\\x0a");
        text += n + 1;
        size -= n + 1;
    }
}

void tool_add_text(struct json_object *object, const char *key, const void *text, size_t size)
{
    size_t capacity = size * ESCAPED_SIZE_MAX + 1;
    _cleanup_free_ char *escaped = malloc(capacity);

    if (escaped)
        escape_lines(text, size, escaped, capacity);
    (void)json_object_object_add(object, key, escaped ? json_object_new_string(escaped) : NULL);
}

void tool_add_hex(struct json_object *object, const char *key, const void *bytes, size_t size)
{
    _cleanup_free_ char *text = malloc(2 * size + 1);

    if (text)
        text_hex(bytes, size, text);
    (void)json_object_object_add(object, key, text ? json_object_new_string(text) : NULL);
}

void tool_add_number(struct json_object *object, const char *key, uint64_t value)
{
    (void)json_object_object_add(object, key, json_object_new_uint64(value));
}

void tool_add_bool(struct json_object *object, const char *key, int value)
{
    (void)json_object_object_add(object, key, json_object_new_boolean(value));
}

struct json_object *tool_add_array(struct json_object *object, const char *key)
{
    struct json_object *array = json_object_new_array();

    (void)json_object_object_add(object, key, array);
    return array;
}
