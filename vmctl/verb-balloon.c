/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"

static int perform(Client *client, const SelectedVm *vm, void *userdata, Error *error)
{
    const uint64_t *bytes = userdata;
    dbus_uint64_t size = *bytes;

    return client_call(client,
                       client_new_call(client, vm->path, BUS_VM_INTERFACE, "SetMemoryBalloon",
                                       DBUS_TYPE_UINT64, &size, DBUS_TYPE_INVALID),
                       "", NULL, error);
}

int verb_balloon(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Options one = *options; /* the last argument is no VM */
    uint64_t bytes;
    const VmAction action = { .perform = perform, .userdata = &bytes };

    one.n_arguments--;
    if (quantity_parse_size(options->arguments[one.n_arguments], "a balloon's size", 0, INT64_MAX,
                            &bytes, &error) < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    return vm_action_run(&one, &action);
}
