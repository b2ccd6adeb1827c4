/* SPDX-License-Identifier: Apache-2.0 */
/* Members of JSON objects. What is unknown is null, so that every object of a kind has all its
 * keys.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* Each adds to @object and returns 0 or -ENOMEM. */

/* @value is consumed, also on failure. NULL is null here: for a value that json-c has made use the
 * functions below, which know an allocation that failed. */
int json_member_add(struct json_object *object, const char *key, struct json_object *value);

/* NULL is null. */
int json_member_add_string(struct json_object *object, const char *key, const char *text);
int json_member_add_number(struct json_object *object, const char *key, uint64_t number);
int json_member_add_bool(struct json_object *object, const char *key, bool value);

/* A new object or array, lent to the caller; NULL when out of memory. */
struct json_object *json_member_add_object(struct json_object *object, const char *key);
struct json_object *json_member_add_array(struct json_object *object, const char *key);

/* A new object at the end of @array, lent; NULL when out of memory. */
struct json_object *json_array_add_object(struct json_object *array);
