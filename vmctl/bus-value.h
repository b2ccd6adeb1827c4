/* SPDX-License-Identifier: Apache-2.0 */
/* Values of bus messages as JSON: a dictionary becomes an object, a struct or another array an
 * array, a variant what it holds. Numbers keep their value, so that sizes stay bytes. */
#pragma once

#include <dbus/dbus.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/json-object.h"

/* Turns the value at @iterator into JSON; a descriptor becomes null. -ENOMEM. */
int bus_value_to_json(DBusMessageIter *iterator, struct json_object **ret_value);

/* Whether @object, which may be NULL, has @key with a value of this type. The string is lent. */
bool bus_value_get_number(struct json_object *object, const char *key, int64_t *ret_number);
bool bus_value_get_string(struct json_object *object, const char *key, const char **ret_string);
bool bus_value_is_true(struct json_object *object, const char *key);
