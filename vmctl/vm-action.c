/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-action.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/bus-value.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/vm-properties.h"

/* Adds what every verb tells of a VM that it has done something to. */
static int add_vm(Client *client, const char *path, struct json_object *object, Error *error)
{
    static const char *const names[] = { "Id", "Name", "State" };
    _cleanup_(json_object_putp) struct json_object *properties = NULL;
    const VmProperty *property;

    int r = client_get_properties(client, path, &properties, error);
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(names); i++) {
        r = vm_property_find(names[i], &property, error);
        if (r >= 0 && json_member_add(object, property->key,
                                      json_object_get(vm_property_get(property, properties))) < 0)
            r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return r;
}

/* A new object that tells it. */
static int describe_vm(Client *client,
                       const char *path,
                       struct json_object **ret_object,
                       Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    int r = object ? add_vm(client, path, object, error)
                   : error_set(error, ERROR_NO_MEMORY, "out of memory");

    if (r >= 0)
        *ret_object = TAKE_PTR(object);
    return r;
}

static int add_described(struct json_object *array, struct json_object *object, Error *error)
{
    if (json_object_array_add(array, object) == 0)
        return 0;
    json_object_put(object);
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

static int add_vms(Client *client,
                   const VmSelection *selection,
                   struct json_object *array,
                   Error *error)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < selection->n_vms; i++) {
        struct json_object *object;

        if (selection->vms[i].failed)
            continue;
        r = describe_vm(client, selection->vms[i].path, &object, error);
        if (r >= 0)
            r = add_described(array, object, error);
    }
    return r;
}

static int perform(Client *client, const SelectedVm *vm, const VmAction *action, Error *error)
{
    if (action->method)
        return client_call_vm(client, vm->path, action->method, "", NULL, error);
    return action->perform ? action->perform(client, vm, action->userdata, error) : 0;
}

/* Does it to one VM, and adds what that one was to @forgotten. */
static int forget(Client *client,
                  const SelectedVm *vm,
                  const VmAction *action,
                  struct json_object *forgotten,
                  Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    int r = describe_vm(client, vm->path, &object, error);
    if (r >= 0)
        r = perform(client, vm, action, error);
    return r < 0 ? r : add_described(forgotten, TAKE_PTR(object), error);
}

static int run(const Options *options, const VmAction *action, VmSelection *selection, Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(json_object_putp) struct json_object *array = json_object_new_array();
    bool is_shown_before = action->forgets && options->json != JSON_FORMAT_OFF;

    if (!array)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = client_new(options, &client, error);
    if (r >= 0)
        r = vm_selection_init(selection, client, options, error);
    if (r >= 0 && action->prepare)
        r = action->prepare(client, selection, action->userdata, error);
    for (size_t i = 0; r >= 0 && i < selection->n_vms; i++) {
        _cleanup_(error_clear) Error problem = ERROR_INIT;
        SelectedVm *vm = &selection->vms[i];

        if ((is_shown_before ? forget(client, vm, action, array, &problem)
                             : perform(client, vm, action, &problem)) < 0)
            vm_selection_fail(selection, vm, &problem);
    }
    if (r >= 0 && action->conclude)
        r = action->conclude(client, selection, action->userdata, error);
    if (r < 0 || options->json == JSON_FORMAT_OFF)
        return r;
    if (!is_shown_before)
        r = add_vms(client, selection, array, error);
    if (r >= 0)
        output_json(array, options->json);
    return r;
}

int vm_action_run(const Options *options, const VmAction *action)
{
    _cleanup_(vm_selection_deinit) VmSelection selection = { .failed = ERROR_NONE };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (run(options, action, &selection, &error) < 0)
        vm_selection_fail(&selection, NULL, &error);
    return (int)exit_status_from_error(selection.failed);
}

int vm_action_run_method(const Options *options, const char *method)
{
    const VmAction action = { .method = method };

    return vm_action_run(options, &action);
}

int vm_action_print_vm(const Options *options, Client *client, const char *path, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    if (options->json == JSON_FORMAT_OFF) {
        if (!options->quiet)
            (void)puts(strrchr(path, '/') + 1); /* an object path has one; output_finish() checks */
        return 0;
    }
    int r = describe_vm(client, path, &object, error);
    if (r >= 0)
        output_json(object, options->json);
    return r;
}
