/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-properties.h"
#include "vmctl/vm-selection.h"

typedef struct Shown {
    const Options *options;
    const VmProperty *properties[OPTION_VALUES_MAX]; /* those that were asked for */
    size_t n_properties;                             /* 0: all */
    size_t n_vms;
    struct json_object *array; /* of what JSON shows */
} Shown;

static void print_property(const Shown *shown,
                           const VmProperty *property,
                           struct json_object *properties)
{
    struct json_object *value = vm_property_get(property, properties);
    const char *text = value ? json_object_get_string(value) : NULL;
    _cleanup_free_ char *line = output_dup_line(text ? text : "");

    if (!shown->options->value)
        printf("%s=", property->name);
    (void)puts(line ? line : ""); /* output_finish() sees an error */
}

static void print_vm(const Shown *shown, struct json_object *properties)
{
    if (shown->n_vms > 0)
        (void)putchar('\n');
    for (size_t i = 0; i < shown->n_properties; i++)
        print_property(shown, shown->properties[i], properties);
    for (const VmProperty *all = vm_property_table; shown->n_properties == 0 && all->name; all++)
        print_property(shown, all, properties);
}

static int add_vm(const Shown *shown, struct json_object *properties)
{
    struct json_object *object = json_array_add_object(shown->array);

    if (!object)
        return -ENOMEM;
    if (shown->n_properties == 0)
        return vm_properties_add(properties, object);
    for (size_t i = 0; i < shown->n_properties; i++) {
        const VmProperty *property = shown->properties[i];
        int r = json_member_add(object, property->key,
                                json_object_get(vm_property_get(property, properties)));

        if (r < 0)
            return r;
    }
    return 0;
}

static int show_vm(Shown *shown, Client *client, const SelectedVm *vm, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *properties = NULL;

    int r = client_get_properties(client, vm->path, &properties, error);
    if (r < 0)
        return r;
    if (shown->options->json == JSON_FORMAT_OFF)
        print_vm(shown, properties);
    else if (add_vm(shown, properties) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    shown->n_vms++;
    return 0;
}

static int show_vms(Shown *shown, VmSelection *selection, Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;

    for (size_t i = 0; i < shown->options->properties.n_values; i++) {
        int r = vm_property_find(shown->options->properties.values[i],
                                 &shown->properties[shown->n_properties++], error);
        if (r < 0)
            return r;
    }
    int r = client_new(shown->options, &client, error);
    if (r >= 0)
        r = vm_selection_init(selection, client, shown->options, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < selection->n_vms; i++) {
        _cleanup_(error_clear) Error problem = ERROR_INIT;

        if (show_vm(shown, client, &selection->vms[i], &problem) < 0)
            vm_selection_fail(selection, &selection->vms[i], &problem);
    }
    if (shown->options->json != JSON_FORMAT_OFF)
        output_json(shown->array, shown->options->json);
    return 0;
}

int verb_show(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *array = json_object_new_array();
    _cleanup_(vm_selection_deinit) VmSelection selection = { .failed = ERROR_NONE };
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Shown shown = { .options = options, .array = array };

    if (!array)
        (void)error_set(&error, ERROR_NO_MEMORY, "out of memory");
    else
        (void)show_vms(&shown, &selection, &error); /* looked at below */
    if (error.kind != ERROR_NONE)
        vm_selection_fail(&selection, NULL, &error);
    return (int)exit_status_from_error(selection.failed);
}
