/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json-keys.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

#define POINTER_SIZE 256

typedef struct Key {
    const char *text;
    size_t size;
    unsigned object; /* number of the object that it belongs to */
} Key;

/* An object or array that is open at the present place. */
typedef struct Level {
    unsigned number;
    bool is_array;
    size_t index;         /* array: of the present element */
    const char *key_text; /* object: the last key */
    size_t key_size;
} Level;

typedef struct Scan {
    const char *text;
    size_t size;
    Level levels[JSON_KEYS_DEPTH_MAX];
    size_t depth;
    unsigned n_containers;
    Key *keys;
    size_t n_keys, max_keys;
} Scan;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The index behind the string whose opening quote is at @start. */
static size_t skip_string(const Scan *scan, size_t start)
{
    size_t i = start + 1;

    while (i < scan->size && scan->text[i] != '"')
        i += scan->text[i] == '\\' ? 2 : 1;
    return i + 1 < scan->size ? i + 1 : scan->size;
}

/* The present place as a JSON pointer, escaped for a person's eyes. */
static void format_pointer(const Scan *scan, char pointer[static POINTER_SIZE])
{
    size_t length = 0;

    pointer[0] = '\0';
    for (size_t i = 0; i < scan->depth && length < POINTER_SIZE - 1; i++) {
        const Level *level = &scan->levels[i];
        size_t room = POINTER_SIZE - length;
        int n;

        if (level->is_array) {
            n = snprintf(pointer + length, room, "/%zu", level->index);
        } else {
            pointer[length] = '/';
            n = 1 +
                (int)text_escape(level->key_text, level->key_size, pointer + length + 1, room - 1);
        }
        length += (size_t)n < room ? (size_t)n : room - 1;
    }
}

static int refuse(const Scan *scan, ErrorKind kind, const char *what, Error *error)
{
    char pointer[POINTER_SIZE];

    format_pointer(scan, pointer);
    return error_set(error, kind, "%s: %s", pointer[0] ? pointer : "/", what);
}

static int take_key(Scan *scan, const char *text, size_t size, ErrorKind kind, Error *error)
{
    Level *level = &scan->levels[scan->depth - 1];

    level->key_text = text;
    level->key_size = size;
    if (memchr(text, '\\', size))
        return refuse(scan, kind, "unknown key", error);
    for (size_t i = 0; i < scan->n_keys; i++) {
        const Key *key = &scan->keys[i];
        if (key->object == level->number && key->size == size && memcmp(key->text, text, size) == 0)
            return refuse(scan, kind, "the key is there twice", error);
    }
    if (scan->n_keys == scan->max_keys)
        return refuse(scan, kind, "too many keys", error);
    scan->keys[scan->n_keys++] = (Key){ .text = text, .size = size, .object = level->number };
    return 0;
}

static int open_level(Scan *scan, bool is_array, ErrorKind kind, Error *error)
{
    if (scan->depth == JSON_KEYS_DEPTH_MAX)
        return refuse(scan, kind, "nested too deeply", error);
    scan->levels[scan->depth++] =
        (Level){ .number = ++scan->n_containers, .is_array = is_array, .key_text = "" };
    return 0;
}

static bool has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20)
            return true;
    }
    return false;
}

/* A string is a key exactly when a colon follows it. */
static int scan_text(Scan *scan, ErrorKind kind, Error *error)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < scan->size;) {
        char c = scan->text[i];

        if (c == '"') {
            const char *text = scan->text + i + 1;
            i = skip_string(scan, i);
            size_t size = (size_t)(scan->text + i - text);
            if (has_control(text, size))
                return refuse(scan, kind, "a string has a control character", error);
            while (i < scan->size && is_space(scan->text[i]))
                i++;
            if (i < scan->size && scan->text[i] == ':' && scan->depth > 0)
                r = take_key(scan, text, size - 1, kind, error);
            continue;
        }
        if (c == '\'')
            return refuse(scan, kind, "strings stand in double quotes", error);
        if (c == '{' || c == '[')
            r = open_level(scan, c == '[', kind, error);
        else if ((c == '}' || c == ']') && scan->depth > 0)
            scan->depth--;
        else if (c == ',' && scan->depth > 0)
            scan->levels[scan->depth - 1].index++;
        i++;
    }
    return r;
}

int json_keys_check(const char *text, size_t size, size_t max_keys, ErrorKind kind, Error *error)
{
    _cleanup_free_ Key *keys = calloc(max_keys, sizeof(Key));
    if (!keys)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    Scan scan = { .text = text, .size = size, .keys = keys, .max_keys = max_keys };
    return scan_text(&scan, kind, error);
}
