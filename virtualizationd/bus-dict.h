/* SPDX-License-Identifier: Apache-2.0 */
/* Writes dictionaries of named values (a{sv}) into bus messages. */
#pragma once

#include <dbus/dbus.h>
#include <stdbool.h>
#include <stdint.h>

/* Opens, fills and closes an a{sv}; each returns false when out of memory. */
typedef struct BusDict {
    DBusMessageIter *parent;
    DBusMessageIter entries;
} BusDict;

/* An array of dictionaries as a value: bus_dict_open() with &elements as the parent adds one. */
typedef struct BusDictArray {
    DBusMessageIter entry, variant, elements;
} BusDictArray;

bool bus_dict_open_array(BusDict *dict, const char *key, BusDictArray *array);
bool bus_dict_close_array(BusDict *dict, BusDictArray *array);

bool bus_dict_open(BusDict *dict, DBusMessageIter *parent);
bool bus_dict_close(BusDict *dict);
bool bus_dict_add_string(BusDict *dict, const char *key, const char *value);
bool bus_dict_add_strings(BusDict *dict, const char *key, const char *const *values);
bool bus_dict_add_u64(BusDict *dict, const char *key, uint64_t value);
/* A (tt). */
bool bus_dict_add_u64_pair(BusDict *dict, const char *key, uint64_t first, uint64_t second);
bool bus_dict_add_u32(BusDict *dict, const char *key, uint32_t value);
bool bus_dict_add_i32(BusDict *dict, const char *key, int32_t value);
bool bus_dict_add_bool(BusDict *dict, const char *key, bool value);
