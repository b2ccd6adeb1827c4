/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-selection.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "vmctl/bus-value.h"
#include "vmctl/output.h"

static int out_of_memory(Error *error)
{
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* Adds the VM at @path, unless it is there. */
static int add(VmSelection *selection, const char *path, const char *name, Error *error)
{
    for (size_t i = 0; i < selection->n_vms; i++) {
        if (strcmp(selection->vms[i].path, path) == 0)
            return 0;
    }
    SelectedVm *vms = reallocarray(selection->vms, selection->n_vms + 1, sizeof(SelectedVm));
    if (!vms)
        return out_of_memory(error);
    selection->vms = vms;
    SelectedVm vm = { .path = strdup(path), .name = strdup(name) };
    if (!vm.path || !vm.name) {
        free(vm.path);
        free(vm.name);
        return out_of_memory(error);
    }
    vms[selection->n_vms++] = vm;
    return 0;
}

bool vm_selection_is_pattern(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

/* Adds those of @vms whose names match; all of them if @pattern is NULL. */
static int add_matching(VmSelection *selection,
                        struct json_object *vms,
                        const char *pattern,
                        size_t *ret_n_matches,
                        Error *error)
{
    size_t n_matches = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < json_object_array_length(vms); i++) {
        struct json_object *vm = json_object_array_get_idx(vms, i);
        const char *name = client_get_vm_field(vm, VM_FIELD_NAME);

        if (pattern && fnmatch(pattern, name, 0) != 0)
            continue;
        n_matches++;
        r = add(selection, client_get_vm_field(vm, VM_FIELD_PATH), name, error);
    }
    *ret_n_matches = n_matches;
    return r;
}

/* @vms is the list, once it is asked for. */
static int select_pattern(VmSelection *selection,
                          Client *client,
                          const Options *options,
                          const char *pattern,
                          struct json_object **vms,
                          Error *error)
{
    size_t n_matches;
    int r = *vms ? 0 : client_list_vms(client, options->all, vms, error);

    if (r >= 0)
        r = add_matching(selection, *vms, pattern, &n_matches, error);
    if (r >= 0 && pattern && n_matches == 0)
        return error_set(error, ERROR_NO_SUCH_VM, "no %sVM has a name like '%s'",
                         options->all ? "" : "living ", pattern);
    return r;
}

static int select_one(VmSelection *selection, Client *client, const char *name, Error *error)
{
    _cleanup_free_ char *path = NULL;
    int r = client_find_vm(client, name, &path, error);

    return r < 0 ? r : add(selection, path, name, error);
}

int vm_selection_init(VmSelection *selection, Client *client, const Options *options, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *vms = NULL;

    *selection = (VmSelection){ .failed = ERROR_NONE };
    if (options->n_arguments == 0)
        return select_pattern(selection, client, options, NULL, &vms, error);
    for (size_t i = 0; i < options->n_arguments; i++) {
        const char *argument = options->arguments[i];
        _cleanup_(error_clear) Error problem = ERROR_INIT;

        int r = vm_selection_is_pattern(argument)
                    ? select_pattern(selection, client, options, argument, &vms, &problem)
                    : select_one(selection, client, argument, &problem);
        if (r < 0)
            vm_selection_fail(selection, NULL, &problem);
    }
    return 0;
}

void vm_selection_deinit(VmSelection *selection)
{
    for (size_t i = 0; i < selection->n_vms; i++) {
        free(selection->vms[i].path);
        free(selection->vms[i].name);
    }
    free(selection->vms);
    *selection = (VmSelection){ .failed = ERROR_NONE };
}

void vm_selection_fail(VmSelection *selection, SelectedVm *vm, Error *error)
{
    output_error(error);
    if (selection->failed == ERROR_NONE)
        selection->failed = error->kind;
    if (vm)
        vm->failed = true;
    error_clear(error);
}
