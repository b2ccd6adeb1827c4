/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-properties.h"

#include <string.h>

#include "common/nearest-match.h"
#include "vmctl/bus-value.h"
#include "vmctl/json-member.h"

const VmProperty vm_property_table[] = {
    { "Id", "id", false },
    { "Name", "name", false },
    { "State", "state", false },
    { "Cid", "cid", false },
    { "Owner", "owner", false },
    { "Protected", "protected", false },
    { "Memory", "memory", false },
    { "Cpus", "cpus", false },
    { "Vmm", "vmm", false },
    { "Pid", "pid", true },
    { "CreatedAt", "created-at", false },
    { "StartedAt", "started-at", true },
    { "LastEvent", "last-event", false },
    { "StopStep", "stop-step", true },
    { "DeathReason", "death-reason", true },
    { "SeccompAction", "seccomp-action", false },
    { NULL, NULL, false },
};

int vm_property_find(const char *name, const VmProperty **ret_property, Error *error)
{
    NearestMatch match;

    nearest_match_init(&match, name);
    for (const VmProperty *property = vm_property_table; property->name; property++) {
        if (strcmp(property->name, name) == 0 || strcmp(property->key, name) == 0) {
            *ret_property = property;
            return 0;
        }
        nearest_match_offer(&match, property->name);
    }
    if (match.best)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a VM has no property '%s': did you mean '%s'?", name, match.best);
    return error_set(error, ERROR_INVALID_ARGUMENT,
                     "a VM has no property '%s': 'vmctl show' shows which it has", name);
}

struct json_object *vm_property_get(const VmProperty *property, struct json_object *properties)
{
    struct json_object *value = NULL;
    const char *text;
    int64_t number;

    if (!json_object_object_get_ex(properties, property->name, &value))
        return NULL;
    if (!property->empty_is_unknown)
        return value;
    if (bus_value_get_string(properties, property->name, &text) && *text == '\0')
        return NULL;
    return bus_value_get_number(properties, property->name, &number) && number == 0 ? NULL : value;
}

int vm_properties_add(struct json_object *properties, struct json_object *object)
{
    int r = 0;

    for (const VmProperty *property = vm_property_table; r >= 0 && property->name; property++)
        r = json_member_add(object, property->key,
                            json_object_get(vm_property_get(property, properties)));
    return r;
}
