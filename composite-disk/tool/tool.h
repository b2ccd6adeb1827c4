/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the composite-disk tool: a table of verbs, their options and arguments, and what
 * they answer. A verb makes a JSON object; the frame prints it as JSON or for people. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/progress.h"

#define TOOL_OPTIONS_MAX 12 /* of a verb, the frame's own not counted */

typedef struct ToolOption {
    const char *name;  /* the long one, without dashes */
    char letter;       /* 0: none */
    const char *value; /* what the help calls it; NULL: the option takes none */
    const char *help;
} ToolOption;

typedef struct ToolCall ToolCall;

typedef struct ToolVerb {
    const char *name;      /* one word or two: "create", "idsig create" */
    const char *arguments; /* for the help */
    const char *summary;   /* one line */
    size_t n_min, n_max;   /* arguments */
    ToolOption options[TOOL_OPTIONS_MAX + 1];
    /* Adds what it has found or done to call->result. ERROR_INVALID_ARGUMENT is wrong usage. */
    int (*run)(ToolCall *call, Error *error);
} ToolVerb;

typedef struct ToolGivenOption {
    const ToolOption *option;
    const char *value;
} ToolGivenOption;

struct ToolCall {
    const ToolVerb *verb;
    char **arguments; /* lent by argv */
    size_t n_arguments;
    ToolGivenOption *given; /* in their order */
    size_t n_given;
    const Progress *progress; /* a bar on a terminal, or NULL */
    struct json_object *result;
};

/* The value of an option, the last one where it is given twice; "" for one without a value; NULL
 * when it is not given. */
const char *tool_get_option(const ToolCall *call, const char *name);

/* The values of an option that may be given more than once, one by one; NULL behind the last.
 * *@cursor is 0 at first. */
const char *tool_next_option(const ToolCall *call, const char *name, size_t *cursor);

/* The value as a number, or @value_if_missing. ERROR_INVALID_ARGUMENT names the option. */
int tool_get_number(const ToolCall *call,
                    const char *name,
                    uint64_t max,
                    uint64_t value_if_missing,
                    uint64_t *ret_value,
                    Error *error);

/* Each adds to @object, which owns it then. Text of foreign origin is escaped. */
void tool_add_string(struct json_object *object, const char *key, const char *text);
void tool_add_text(struct json_object *object, const char *key, const void *text, size_t size);
void tool_add_hex(struct json_object *object, const char *key, const void *bytes, size_t size);
void tool_add_number(struct json_object *object, const char *key, uint64_t value);
void tool_add_bool(struct json_object *object, const char *key, int value);

/* Adds a new array to @object; elements are added to it with json_object_array_add(). */
struct json_object *tool_add_array(struct json_object *object, const char *key);

/* The verbs; each file of verbs has its own table, ended by one without a name. */
extern const ToolVerb *const tool_verb_tables[];

/* Prints @result for people: "key: value" lines, arrays of objects as tables. */
void tool_print(struct json_object *result);
