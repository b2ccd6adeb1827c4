/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "composite-disk/tool/tool.h"

#define INDENT 2
#define GAP    2

static const char *value_text(struct json_object *value)
{
    if (json_object_is_type(value, json_type_boolean))
        return json_object_get_boolean(value) ? "yes" : "no";
    return value ? json_object_get_string(value) : "-";
}

/* Characters: UTF-8 continuation bytes take no column. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void pad(size_t width)
{
    (void)printf("%*s", (int)width, ""); /* here and below: the frame sees errors at the end */
}

static size_t column_width(struct json_object *rows, const char *key)
{
    size_t width = width_of(key);

    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        size_t w = width_of(value_text(json_object_object_get(row, key)));
        width = w > width ? w : width;
    }
    return width;
}

static void print_cell(struct json_object *rows, const char *key, const char *text, size_t *gap)
{
    pad(*gap);
    (void)fputs(text, stdout);
    *gap = column_width(rows, key) - width_of(text) + GAP;
}

/* The columns are the keys of the first row. */
static void print_table(struct json_object *rows)
{
    struct json_object *first = json_object_array_get_idx(rows, 0);
    size_t gap = INDENT;

    json_object_object_foreach(first, key, unused)
    {
        (void)unused;
        print_cell(rows, key, key, &gap);
    }
    (void)putchar('\n');
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);

        gap = INDENT;
        json_object_object_foreach(first, column, ignored)
        {
            (void)ignored;
            print_cell(rows, column, value_text(json_object_object_get(row, column)), &gap);
        }
        (void)putchar('\n');
    }
}

static void print_list(struct json_object *values)
{
    for (size_t i = 0; i < json_object_array_length(values); i++) {
        pad(INDENT);
        (void)puts(value_text(json_object_array_get_idx(values, i)));
    }
}

static void print_member(const char *key, struct json_object *value, size_t indent, size_t width)
{
    pad(indent);
    if (json_object_is_type(value, json_type_object)) {
        (void)printf("%s:\n", key);
        json_object_object_foreach(value, inner_key, inner)
            print_member(inner_key, inner, indent + INDENT, 0);
    } else if (!json_object_is_type(value, json_type_array)) {
        (void)printf("%s: ", key);
        pad(width > width_of(key) ? width - width_of(key) : 0);
        (void)puts(value_text(value));
    } else if (json_object_array_length(value) == 0) {
        (void)printf("%s: none\n", key);
    } else {
        (void)printf("%s:\n", key);
        if (json_object_is_type(json_object_array_get_idx(value, 0), json_type_object))
            print_table(value);
        else
            print_list(value);
    }
}

void tool_print(struct json_object *result)
{
    size_t width = 0;

    json_object_object_foreach(result, name, member)
    {
        if (!json_object_is_type(member, json_type_array) &&
            !json_object_is_type(member, json_type_object))
            width = width_of(name) > width ? width_of(name) : width;
    }
    json_object_object_foreach(result, key, value) print_member(key, value, 0, width);
}
