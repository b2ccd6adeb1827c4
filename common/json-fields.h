/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON objects into structs by tables of their fields: name, type, range, destination. What
 * no table has is refused, and each refusal (ERROR_INVALID_CONFIG) begins with the place, a JSON
 * pointer (RFC 6901). */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json-object.h"

#define JSON_FIELDS_SIZE_MAX 65536 /* bytes of a document */
#define JSON_FIELDS_KEYS_MAX 2048  /* of a document */

#define JSON_POINTER_SIZE     128
#define JSON_FIELD_SHOWN_SIZE 64 /* how much of a foreign text is shown in a sentence */

typedef struct JsonField JsonField;

/* Stores @value, which is of the field's type and, if a string, clean text, into @destination.
 * @pointer names its place. */
typedef int (*JsonFieldReader)(const JsonField *field,
                               struct json_object *value,
                               const char *pointer,
                               void *destination,
                               Error *error);

/* A table ends with a field without a name. */
struct JsonField {
    const char *name;
    enum json_type type;
    JsonFieldReader read;
    size_t offset;              /* in the struct that the table fills */
    int64_t min, max;           /* of a number, or of a text's bytes */
    const char *const *choices; /* NULL-terminated */
};

#define JSON_FIELD_STRING(json_name, owner, member, least, most)                     \
    {                                                                                \
        .name = json_name, .type = json_type_string, .read = json_field_read_string, \
        .offset = offsetof(owner, member), .min = least, .max = most                 \
    }
#define JSON_FIELD_BOOL(json_name, owner, member)                                   \
    {                                                                               \
        .name = json_name, .type = json_type_boolean, .read = json_field_read_bool, \
        .offset = offsetof(owner, member)                                           \
    }
#define JSON_FIELD_CHOICE(json_name, owner, member, list)                            \
    {                                                                                \
        .name = json_name, .type = json_type_string, .read = json_field_read_choice, \
        .offset = offsetof(owner, member), .choices = list                           \
    }

#define JSON_INVALID(error, pointer, format, ...) \
    error_set(error, ERROR_INVALID_CONFIG, "%s: " format, pointer, ##__VA_ARGS__)

/* Readers. A string becomes a new one, and a choice, an unsigned, its place in the list. A name has
 * letters, digits, '-', '_' and '.', and does not begin with a sign. */
int json_field_read_string(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);
int json_field_read_name(const JsonField *field,
                         struct json_object *value,
                         const char *pointer,
                         void *destination,
                         Error *error);
int json_field_read_bool(const JsonField *field,
                         struct json_object *value,
                         const char *pointer,
                         void *destination,
                         Error *error);
int json_field_read_u32(const JsonField *field,
                        struct json_object *value,
                        const char *pointer,
                        void *destination,
                        Error *error);
int json_field_read_choice(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error);

/* For readers: the number @value is in the field's range. */
int json_field_check_range(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           Error *error);

/* Reads the fields of @object, which is at @pointer ("": the document), into @destination. */
int json_fields_read(const JsonField *fields,
                     struct json_object *object,
                     const char *pointer,
                     void *destination,
                     Error *error);

/* Reads an array of up to @max objects into a new array of @element_size each, which is handed over
 * even if an element is refused. */
int json_fields_read_array(const JsonField *fields,
                           struct json_object *array,
                           size_t max,
                           size_t element_size,
                           const char *pointer,
                           void **ret_elements,
                           size_t *ret_n_elements,
                           Error *error);

/* Parses @json, which has a NUL at @size, strictly and within the maxima above, into an object that
 * the caller puts. */
int json_fields_parse(const char *json, size_t size, struct json_object **ret_object, Error *error);
