/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-selection.h"
#include "vmctl/vm-status.h"

typedef struct Shown {
    const Options *options;
    Client *client;
    struct json_object *events, *array;
    VmSelection selection;
    bool some_dead;
    size_t n_shown;
} Shown;

static void shown_deinit(Shown *shown)
{
    client_free(shown->client);
    json_object_put(shown->events);
    json_object_put(shown->array);
    vm_selection_deinit(&shown->selection);
}

static int show_vm(Shown *shown, const SelectedVm *vm, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *status = NULL;
    const char *state;

    int r = vm_status_new(shown->client, vm->path, shown->events, &status, error);
    if (r < 0)
        return r;
    if (bus_value_get_string(status, "state", &state) && strcmp(state, "dead") == 0)
        shown->some_dead = true;
    if (shown->options->json == JSON_FORMAT_OFF && !shown->options->quiet) {
        if (shown->n_shown++ > 0)
            (void)putchar('\n');
        vm_status_print(status);
    }
    return json_object_array_add(shown->array, TAKE_PTR(status)) < 0
               ? error_set(error, ERROR_NO_MEMORY, "out of memory")
               : 0;
}

static int show(Shown *shown, Error *error)
{
    shown->array = json_object_new_array();
    if (!shown->array)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = client_new(shown->options, &shown->client, error);
    if (r >= 0)
        r = vm_selection_init(&shown->selection, shown->client, shown->options, error);
    if (r >= 0)
        r = client_get_events(shown->client, &shown->events, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < shown->selection.n_vms; i++) {
        _cleanup_(error_clear) Error problem = ERROR_INIT;

        if (show_vm(shown, &shown->selection.vms[i], &problem) < 0)
            vm_selection_fail(&shown->selection, &shown->selection.vms[i], &problem);
    }
    if (shown->options->json != JSON_FORMAT_OFF)
        output_json(shown->array, shown->options->json);
    return 0;
}

int verb_status(const Options *options)
{
    Options unasked = *options;
    _cleanup_(shown_deinit) Shown shown = { .options = &unasked };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    unasked.no_ask_password = true; /* who may not see a part of it sees the rest */
    if (show(&shown, &error) < 0)
        vm_selection_fail(&shown.selection, NULL, &error);
    if (shown.selection.failed != ERROR_NONE)
        return (int)exit_status_from_error(shown.selection.failed);
    return shown.some_dead ? EXIT_STATUS_WRONG_STATE : EXIT_STATUS_OK; /* as systemctl status */
}
