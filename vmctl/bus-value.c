/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/bus-value.h"

#include <errno.h>

static int basic_to_json(DBusMessageIter *iterator, struct json_object **ret_value)
{
    int type = dbus_message_iter_get_arg_type(iterator);
    DBusBasicValue basic;
    struct json_object *value;

    if (type == DBUS_TYPE_UNIX_FD) { /* reading it would make a duplicate to close */
        *ret_value = NULL;
        return 0;
    }
    dbus_message_iter_get_basic(iterator, &basic);
    switch (type) {
    case DBUS_TYPE_BOOLEAN:
        value = json_object_new_boolean(basic.bool_val != FALSE);
        break;
    case DBUS_TYPE_BYTE:
        value = json_object_new_int64(basic.byt);
        break;
    case DBUS_TYPE_INT16:
        value = json_object_new_int64(basic.i16);
        break;
    case DBUS_TYPE_UINT16:
        value = json_object_new_int64(basic.u16);
        break;
    case DBUS_TYPE_INT32:
        value = json_object_new_int64(basic.i32);
        break;
    case DBUS_TYPE_UINT32:
        value = json_object_new_int64(basic.u32);
        break;
    case DBUS_TYPE_INT64:
        value = json_object_new_int64(basic.i64);
        break;
    case DBUS_TYPE_UINT64:
        value = json_object_new_uint64(basic.u64);
        break;
    case DBUS_TYPE_DOUBLE:
        value = json_object_new_double(basic.dbl);
        break;
    default: /* string, object path, signature */
        value = json_object_new_string(basic.str);
        break;
    }
    if (!value)
        return -ENOMEM;
    *ret_value = value;
    return 0;
}

static int dictionary_to_json(DBusMessageIter *entries, struct json_object **ret_value)
{
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;

    for (; dbus_message_iter_get_arg_type(entries) != DBUS_TYPE_INVALID;
         dbus_message_iter_next(entries)) {
        _cleanup_(json_object_putp) struct json_object *key = NULL, *value = NULL;
        DBusMessageIter entry;

        dbus_message_iter_recurse(entries, &entry);
        int r = bus_value_to_json(&entry, &key);
        if (r < 0)
            return r;
        dbus_message_iter_next(&entry);
        r = bus_value_to_json(&entry, &value);
        if (r < 0)
            return r;
        if (json_object_object_add(object, json_object_get_string(key), value) < 0)
            return -ENOMEM;
        (void)TAKE_PTR(value); /* the object's now */
    }
    *ret_value = TAKE_PTR(object);
    return 0;
}

static int sequence_to_json(DBusMessageIter *elements, struct json_object **ret_value)
{
    _cleanup_(json_object_putp) struct json_object *array = json_object_new_array();
    if (!array)
        return -ENOMEM;

    for (; dbus_message_iter_get_arg_type(elements) != DBUS_TYPE_INVALID;
         dbus_message_iter_next(elements)) {
        _cleanup_(json_object_putp) struct json_object *value = NULL;

        int r = bus_value_to_json(elements, &value);
        if (r < 0)
            return r;
        if (json_object_array_add(array, value) < 0)
            return -ENOMEM;
        (void)TAKE_PTR(value); /* the array's now */
    }
    *ret_value = TAKE_PTR(array);
    return 0;
}

/* The recursion is as deep as the message, which libdbus bounds (64 containers). */
int bus_value_to_json(DBusMessageIter *iterator, struct json_object **ret_value)
{
    int type = dbus_message_iter_get_arg_type(iterator);
    DBusMessageIter inside;

    if (type == DBUS_TYPE_ARRAY) {
        dbus_message_iter_recurse(iterator, &inside);
        if (dbus_message_iter_get_element_type(iterator) == DBUS_TYPE_DICT_ENTRY)
            return dictionary_to_json(&inside, ret_value);
        return sequence_to_json(&inside, ret_value);
    }
    if (type == DBUS_TYPE_STRUCT) {
        dbus_message_iter_recurse(iterator, &inside);
        return sequence_to_json(&inside, ret_value);
    }
    if (type == DBUS_TYPE_VARIANT) {
        dbus_message_iter_recurse(iterator, &inside);
        return bus_value_to_json(&inside, ret_value);
    }
    return basic_to_json(iterator, ret_value);
}

bool bus_value_get_number(struct json_object *object, const char *key, int64_t *ret_number)
{
    struct json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_int))
        return false;
    *ret_number = json_object_get_int64(value);
    return true;
}

bool bus_value_get_string(struct json_object *object, const char *key, const char **ret_string)
{
    struct json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_string))
        return false;
    *ret_string = json_object_get_string(value);
    return true;
}

bool bus_value_is_true(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) &&
           json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}
