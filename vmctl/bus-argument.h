/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the entries of an a{sv} argument. Each returns false when out of memory. */
#pragma once

#include <dbus/dbus.h>
#include <stdbool.h>
#include <stdint.h>

bool bus_argument_add_string(DBusMessageIter *dictionary, const char *key, const char *value);
bool bus_argument_add_u64(DBusMessageIter *dictionary, const char *key, uint64_t value);
bool bus_argument_add_bool(DBusMessageIter *dictionary, const char *key, bool value);
