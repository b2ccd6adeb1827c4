/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/bus-dict.h"

bool bus_dict_open(BusDict *dict, DBusMessageIter *parent)
{
    dict->parent = parent;
    return dbus_message_iter_open_container(parent, DBUS_TYPE_ARRAY, "{sv}", &dict->entries);
}

bool bus_dict_close(BusDict *dict)
{
    return dbus_message_iter_close_container(dict->parent, &dict->entries);
}

static bool add(BusDict *dict, const char *key, int type, const char *signature, const void *value)
{
    DBusMessageIter entry, variant;

    return dbus_message_iter_open_container(&dict->entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, signature, &variant) &&
           dbus_message_iter_append_basic(&variant, type, value) &&
           dbus_message_iter_close_container(&entry, &variant) &&
           dbus_message_iter_close_container(&dict->entries, &entry);
}

bool bus_dict_add_string(BusDict *dict, const char *key, const char *value)
{
    return add(dict, key, DBUS_TYPE_STRING, "s", &value);
}

bool bus_dict_add_strings(BusDict *dict, const char *key, const char *const *values)
{
    DBusMessageIter entry, variant, strings;

    if (!dbus_message_iter_open_container(&dict->entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) ||
        !dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) ||
        !dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, "as", &variant) ||
        !dbus_message_iter_open_container(&variant, DBUS_TYPE_ARRAY, "s", &strings))
        return false;
    for (; *values; values++) {
        if (!dbus_message_iter_append_basic(&strings, DBUS_TYPE_STRING, values))
            return false;
    }
    return dbus_message_iter_close_container(&variant, &strings) &&
           dbus_message_iter_close_container(&entry, &variant) &&
           dbus_message_iter_close_container(&dict->entries, &entry);
}

bool bus_dict_add_u64(BusDict *dict, const char *key, uint64_t value)
{
    return add(dict, key, DBUS_TYPE_UINT64, "t", &value);
}

bool bus_dict_add_u32(BusDict *dict, const char *key, uint32_t value)
{
    return add(dict, key, DBUS_TYPE_UINT32, "u", &value);
}

bool bus_dict_add_i32(BusDict *dict, const char *key, int32_t value)
{
    return add(dict, key, DBUS_TYPE_INT32, "i", &value);
}

bool bus_dict_add_bool(BusDict *dict, const char *key, bool value)
{
    dbus_bool_t boolean = value;

    return add(dict, key, DBUS_TYPE_BOOLEAN, "b", &boolean);
}

bool bus_dict_add_u64_pair(BusDict *dict, const char *key, uint64_t first, uint64_t second)
{
    DBusMessageIter entry, variant, pair;

    return dbus_message_iter_open_container(&dict->entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, "(tt)", &variant) &&
           dbus_message_iter_open_container(&variant, DBUS_TYPE_STRUCT, NULL, &pair) &&
           dbus_message_iter_append_basic(&pair, DBUS_TYPE_UINT64, &first) &&
           dbus_message_iter_append_basic(&pair, DBUS_TYPE_UINT64, &second) &&
           dbus_message_iter_close_container(&variant, &pair) &&
           dbus_message_iter_close_container(&entry, &variant) &&
           dbus_message_iter_close_container(&dict->entries, &entry);
}

bool bus_dict_open_array(BusDict *dict, const char *key, BusDictArray *array)
{
    return dbus_message_iter_open_container(&dict->entries, DBUS_TYPE_DICT_ENTRY, NULL,
                                            &array->entry) &&
           dbus_message_iter_append_basic(&array->entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_open_container(&array->entry, DBUS_TYPE_VARIANT, "aa{sv}",
                                            &array->variant) &&
           dbus_message_iter_open_container(&array->variant, DBUS_TYPE_ARRAY, "a{sv}",
                                            &array->elements);
}

bool bus_dict_close_array(BusDict *dict, BusDictArray *array)
{
    return dbus_message_iter_close_container(&array->variant, &array->elements) &&
           dbus_message_iter_close_container(&array->entry, &array->variant) &&
           dbus_message_iter_close_container(&dict->entries, &array->entry);
}
