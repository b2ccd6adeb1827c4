/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json-fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json-keys.h"
#include "common/json-object.h"
#include "common/text.h"

#define DEPTH_MAX 8

/* --- readers of values --- */

/* No reader sees a control character, of which NUL would end the text for it, or what is no UTF-8:
 * json-c's check lets overlong forms pass. */
static bool is_clean_text(struct json_object *value)
{
    const char *text = json_object_get_string(value);

    return text_is_utf8(text, (size_t)json_object_get_string_len(value)) &&
           text_has_no_control(text);
}

int json_field_read_string(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    const char *text = json_object_get_string(value);
    size_t length = (size_t)json_object_get_string_len(value);

    if (length < (size_t)field->min)
        return JSON_INVALID(error, pointer, "the text is empty");
    if (length > (size_t)field->max)
        return JSON_INVALID(error, pointer, "the text has %zu bytes, at most %" PRId64 " are taken",
                            length, field->max);

    char *copy = strdup(text);
    if (!copy)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *(char **)destination = copy;
    return 0;
}

int json_field_read_name(const JsonField *field,
                         struct json_object *value,
                         const char *pointer,
                         void *destination,
                         Error *error)
{
    const char *text = json_object_get_string(value);
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (text[0] == '-' || text[0] == '.' || text[strspn(text, allowed)] != '\0')
        return JSON_INVALID(error, pointer,
                            "a name has letters, digits, '-', '_' and '.', and does not begin with "
                            "'-' or '.'");
    return json_field_read_string(field, value, pointer, destination, error);
}

int json_field_read_bool(const JsonField *field,
                         struct json_object *value,
                         const char *pointer,
                         void *destination,
                         Error *error)
{
    (void)field;
    (void)pointer;
    (void)error;
    *(bool *)destination = json_object_get_boolean(value);
    return 0;
}

/* json-c clamps what int64_t does not hold, which is out of every range here. */
int json_field_check_range(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           Error *error)
{
    int64_t number = json_object_get_int64(value);

    if (number < field->min || number > field->max)
        return JSON_INVALID(error, pointer, "%s is out of range: %" PRId64 " to %" PRId64,
                            json_object_to_json_string(value), field->min, field->max);
    return 0;
}

int json_field_read_u32(const JsonField *field,
                        struct json_object *value,
                        const char *pointer,
                        void *destination,
                        Error *error)
{
    int r = json_field_check_range(field, value, pointer, error);

    if (r >= 0)
        *(uint32_t *)destination = (uint32_t)json_object_get_int64(value);
    return r;
}

int json_field_read_choice(const JsonField *field,
                           struct json_object *value,
                           const char *pointer,
                           void *destination,
                           Error *error)
{
    const char *text = json_object_get_string(value);
    char list[128] = "", shown[JSON_FIELD_SHOWN_SIZE];
    size_t length = 0;

    for (unsigned i = 0; field->choices[i]; i++) {
        if (strcmp(field->choices[i], text) == 0) {
            *(unsigned *)destination = i;
            return 0;
        }
        length += (size_t)snprintf(list + length, sizeof(list) - length, "%s'%s'",
                                   i > 0 ? ", " : "", field->choices[i]);
        assert(length < sizeof(list));
    }
    text_escape(text, strlen(text), shown, sizeof(shown));
    return JSON_INVALID(error, pointer, "'%s' is none of %s", shown, list);
}

/* --- objects and arrays --- */

static int read_field(const JsonField *fields,
                      const char *key,
                      struct json_object *value,
                      const char *pointer,
                      void *destination,
                      Error *error)
{
    char place[JSON_POINTER_SIZE + JSON_FIELD_SHOWN_SIZE], shown[JSON_FIELD_SHOWN_SIZE];

    text_escape(key, strlen(key), shown, sizeof(shown));
    (void)snprintf(place, sizeof(place), "%s/%s", pointer, shown);
    for (const JsonField *field = fields; field->name; field++) {
        if (strcmp(field->name, key) != 0)
            continue;
        if (!json_object_is_type(value, field->type))
            return JSON_INVALID(error, place, "expected %s, got %s", json_type_to_name(field->type),
                                json_type_to_name(json_object_get_type(value)));
        if (field->type == json_type_string && !is_clean_text(value))
            return JSON_INVALID(error, place, "the text has a control character or is no UTF-8");
        return field->read(field, value, place, (char *)destination + field->offset, error);
    }
    return JSON_INVALID(error, place, "unknown key");
}

int json_fields_read(const JsonField *fields,
                     struct json_object *object,
                     const char *pointer,
                     void *destination,
                     Error *error)
{
    json_object_object_foreach(object, key, value)
    {
        int r = read_field(fields, key, value, pointer, destination, error);
        if (r < 0)
            return r;
    }
    return 0;
}

int json_fields_read_array(const JsonField *fields,
                           struct json_object *array,
                           size_t max,
                           size_t element_size,
                           const char *pointer,
                           void **ret_elements,
                           size_t *ret_n_elements,
                           Error *error)
{
    size_t length = json_object_array_length(array);

    if (length > max)
        return JSON_INVALID(error, pointer, "%zu elements, at most %zu are taken", length, max);
    if (length == 0)
        return 0;
    char *elements = calloc(length, element_size);
    if (!elements)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    /* Handed over at once: what is read half-way is freed with the configuration. */
    *ret_elements = elements;
    *ret_n_elements = length;
    for (size_t i = 0; i < length; i++) {
        struct json_object *element = json_object_array_get_idx(array, i);
        char place[JSON_POINTER_SIZE];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        if (!json_object_is_type(element, json_type_object))
            return JSON_INVALID(error, place, "expected object, got %s",
                                json_type_to_name(json_object_get_type(element)));
        int r = json_fields_read(fields, element, place, elements + i * element_size, error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- documents --- */

int json_fields_parse(const char *json, size_t size, struct json_object **ret_object, Error *error)
{
    if (size > JSON_FIELDS_SIZE_MAX)
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration has more than %d bytes",
                         JSON_FIELDS_SIZE_MAX);
    _cleanup_(json_tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    /* With the final NUL, so that an unfinished value and text behind a value are errors. */
    _cleanup_(json_object_putp) struct json_object *object =
        json_tokener_parse_ex(tokener, json, (int)size + 1);
    enum json_tokener_error result = json_tokener_get_error(tokener);
    if (result != json_tokener_success || json_tokener_get_parse_end(tokener) < size)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration is no JSON: %s at byte %zu",
                         result == json_tokener_success ? "text behind the value"
                                                        : json_tokener_error_desc(result),
                         json_tokener_get_parse_end(tokener));
    if (!json_object_is_type(object, json_type_object))
        return error_set(error, ERROR_INVALID_CONFIG, "/: expected object, got %s",
                         json_type_to_name(json_object_get_type(object)));

    int r = json_keys_check(json, size, JSON_FIELDS_KEYS_MAX, ERROR_INVALID_CONFIG, error);
    if (r < 0)
        return r;
    *ret_object = TAKE_PTR(object);
    return 0;
}
