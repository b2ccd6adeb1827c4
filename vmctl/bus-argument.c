/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/bus-argument.h"

/* A container that is left open when memory runs out goes with the message. */
static bool add(DBusMessageIter *dictionary,
                const char *key,
                int type,
                const char *signature,
                const void *value)
{
    DBusMessageIter entry, variant;

    return dbus_message_iter_open_container(dictionary, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, signature, &variant) &&
           dbus_message_iter_append_basic(&variant, type, value) &&
           dbus_message_iter_close_container(&entry, &variant) &&
           dbus_message_iter_close_container(dictionary, &entry);
}

bool bus_argument_add_string(DBusMessageIter *dictionary, const char *key, const char *value)
{
    return add(dictionary, key, DBUS_TYPE_STRING, "s", &value);
}

bool bus_argument_add_u64(DBusMessageIter *dictionary, const char *key, uint64_t value)
{
    dbus_uint64_t number = value;

    return add(dictionary, key, DBUS_TYPE_UINT64, "t", &number);
}

bool bus_argument_add_bool(DBusMessageIter *dictionary, const char *key, bool value)
{
    dbus_bool_t truth = value;

    return add(dictionary, key, DBUS_TYPE_BOOLEAN, "b", &truth);
}
