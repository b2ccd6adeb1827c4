/* SPDX-License-Identifier: Apache-2.0 */
/* The properties of a VM in the two forms that vmctl shows them in: by their names on the bus, and
 * as the object that its JSON has. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

typedef struct VmProperty {
    const char *name; /* on the bus */
    const char *key;  /* in JSON */
    bool empty_is_unknown;
} VmProperty;

/* All of them, in the order in which they are shown; ended by one without a name. */
extern const VmProperty vm_property_table[];

/* The one of this name, on the bus or in JSON. ERROR_INVALID_ARGUMENT names the nearest. */
int vm_property_find(const char *name, const VmProperty **ret_property, Error *error);

/* Lends its value in @properties, an answer of GetAll; NULL where it is not known. */
struct json_object *vm_property_get(const VmProperty *property, struct json_object *properties);

/* Adds all of them to @object. -ENOMEM. */
int vm_properties_add(struct json_object *properties, struct json_object *object);
