/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/json-member.h"

#include <errno.h>
#include <stddef.h>

int json_member_add(struct json_object *object, const char *key, struct json_object *value)
{
    if (json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

static int add_made(struct json_object *object, const char *key, struct json_object *value)
{
    return value ? json_member_add(object, key, value) : -ENOMEM;
}

int json_member_add_string(struct json_object *object, const char *key, const char *text)
{
    return text ? add_made(object, key, json_object_new_string(text))
                : json_member_add(object, key, NULL);
}

int json_member_add_number(struct json_object *object, const char *key, uint64_t number)
{
    return add_made(object, key, json_object_new_uint64(number));
}

int json_member_add_bool(struct json_object *object, const char *key, bool value)
{
    return add_made(object, key, json_object_new_boolean(value));
}

struct json_object *json_member_add_object(struct json_object *object, const char *key)
{
    struct json_object *value = json_object_new_object();

    return add_made(object, key, value) < 0 ? NULL : value;
}

struct json_object *json_member_add_array(struct json_object *object, const char *key)
{
    struct json_object *value = json_object_new_array();

    return add_made(object, key, value) < 0 ? NULL : value;
}

struct json_object *json_array_add_object(struct json_object *array)
{
    struct json_object *value = json_object_new_object();

    if (value && json_object_array_add(array, value) == 0)
        return value;
    json_object_put(value);
    return NULL;
}
