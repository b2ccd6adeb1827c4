/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "composite-disk/tool/tool.h"

#define INDENT      2
#define GAP         2
#define COLUMNS_MAX 8 /* a row with more is printed as lines */

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

/* Of each column, which is a key of the first row; returns how wide a row is. */
static size_t measure(struct json_object *rows, size_t widths[static COLUMNS_MAX])
{
    size_t n = 0, width = 0;

    json_object_object_foreach(json_object_array_get_idx(rows, 0), key, unused)
    {
        (void)unused;
        widths[n] = column_width(rows, key);
        width += GAP + widths[n++];
    }
    return width; /* the indent is as wide as a gap */
}

static void print_cell(size_t width, const char *text, size_t *gap)
{
    pad(*gap);
    (void)fputs(text, stdout);
    *gap = width - width_of(text) + GAP;
}

static void print_table(struct json_object *rows, const size_t widths[static COLUMNS_MAX])
{
    struct json_object *first = json_object_array_get_idx(rows, 0);
    size_t gap = INDENT, column = 0;

    json_object_object_foreach(first, key, unused)
    {
        (void)unused;
        print_cell(widths[column++], key, &gap);
    }
    (void)putchar('\n');
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);

        gap = INDENT;
        column = 0;
        json_object_object_foreach(first, name, ignored)
        {
            (void)ignored;
            print_cell(widths[column++], value_text(json_object_object_get(row, name)), &gap);
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

static void print_members(struct json_object *object, size_t indent);

/* Rows that are too wide for a table, with a line between them. */
static void print_rows(struct json_object *rows)
{
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        if (i > 0)
            (void)putchar('\n');
        print_members(json_object_array_get_idx(rows, i), INDENT);
    }
}

/* A row that a terminal breaks is not read as one; what reads a pipe counts on rows. */
static bool is_too_wide(size_t width)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && width > size.ws_col;
}

static void print_array(struct json_object *values)
{
    struct json_object *first = json_object_array_get_idx(values, 0);
    size_t widths[COLUMNS_MAX];

    if (!json_object_is_type(first, json_type_object))
        print_list(values);
    else if (json_object_object_length(first) > COLUMNS_MAX || is_too_wide(measure(values, widths)))
        print_rows(values);
    else
        print_table(values, widths);
}

static void print_member(const char *key, struct json_object *value, size_t indent, size_t width)
{
    pad(indent);
    if (json_object_is_type(value, json_type_object)) {
        (void)printf("%s:\n", key);
        print_members(value, indent + INDENT);
    } else if (!json_object_is_type(value, json_type_array)) {
        (void)printf("%s: ", key);
        pad(width > width_of(key) ? width - width_of(key) : 0);
        (void)puts(value_text(value));
    } else if (json_object_array_length(value) == 0) {
        (void)printf("%s: none\n", key);
    } else {
        (void)printf("%s:\n", key);
        print_array(value);
    }
}

static void print_members(struct json_object *object, size_t indent)
{
    size_t width = 0;

    json_object_object_foreach(object, name, member)
    {
        if (!json_object_is_type(member, json_type_array) &&
            !json_object_is_type(member, json_type_object))
            width = width_of(name) > width ? width_of(name) : width;
    }
    json_object_object_foreach(object, key, value) print_member(key, value, indent, width);
}

void tool_print(struct json_object *result)
{
    print_members(result, 0);
}
