/* SPDX-License-Identifier: Apache-2.0 */
/* stop and kill: what ends VMs, and waits for it. */
#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-argument.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"
#include "vmctl/vm-wait.h"

#define STEP_USEC_MAX     (3600 * USEC_PER_SEC) /* what the service takes */
#define STEP_USEC_DEFAULT (10 * USEC_PER_SEC)   /* and what it takes by itself */
#define GRACE_USEC        (30 * USEC_PER_SEC)   /* for a kill and the news of it */

typedef struct Stop {
    const Options *options;
    VmWaitFor what;
    uint64_t step_usec;
    uint64_t wait_usec;
    VmWait *wait;
} Stop;

static int prepare(Client *client, VmSelection *selection, void *userdata, Error *error)
{
    Stop *stop = userdata;

    if (stop->options->no_block)
        return 0;
    return vm_wait_new(client, selection, stop->what, &stop->wait, error);
}

static bool append_options(const Stop *stop, DBusMessageIter *arguments)
{
    DBusMessageIter dictionary;
    bool has_timeout = stop->options->timeout != NULL;

    return dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "{sv}", &dictionary) &&
           (!has_timeout || (bus_argument_add_u64(&dictionary, "guest-timeout", stop->step_usec) &&
                             bus_argument_add_u64(&dictionary, "acpi-timeout", stop->step_usec))) &&
           (!stop->options->no_kill || bus_argument_add_bool(&dictionary, "kill", false)) &&
           (!stop->options->mode ||
            bus_argument_add_string(&dictionary, "mode", stop->options->mode)) &&
           dbus_message_iter_close_container(arguments, &dictionary);
}

static int perform(Client *client, const SelectedVm *vm, void *userdata, Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        client_new_call(client, vm->path, BUS_VM_INTERFACE, "StopWithOptions", DBUS_TYPE_INVALID);
    DBusMessageIter arguments;

    if (call)
        dbus_message_iter_init_append(call, &arguments);
    if (!call || !append_options(userdata, &arguments))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return client_call(client, TAKE_PTR(call), "", NULL, error);
}

static int conclude(Client *client, VmSelection *selection, void *userdata, Error *error)
{
    Stop *stop = userdata;

    (void)client;
    (void)selection; /* the wait has both */
    int r = stop->wait ? vm_wait_run(stop->wait, stop->wait_usec, error) : 0;
    stop->wait = vm_wait_free(stop->wait);
    return r;
}

int verb_stop(const Options *options)
{
    Stop stop = { .options = options, .what = VM_WAIT_STOPPED, .step_usec = STEP_USEC_DEFAULT };
    const VmAction action = {
        .perform = perform, .userdata = &stop, .prepare = prepare, .conclude = conclude
    };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (options->timeout && quantity_parse_time(options->timeout, "the time of '--timeout'",
                                                STEP_USEC_MAX, &stop.step_usec, &error) < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    stop.wait_usec = 2 * stop.step_usec + GRACE_USEC;
    return vm_action_run(options, &action);
}

int verb_kill(const Options *options)
{
    Stop stop = { .options = options, .what = VM_WAIT_DEAD, .wait_usec = GRACE_USEC };
    const VmAction action = {
        .method = "Kill", .userdata = &stop, .prepare = prepare, .conclude = conclude
    };

    return vm_action_run(options, &action);
}
