/* SPDX-License-Identifier: Apache-2.0 */
/* Signals tell what happens, and are listened to first; the list of events then tells what had
 * happened before. */
#include "vmctl/vm-wait.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/vm-properties.h"

struct VmWait {
    Client *client;
    VmSelection *selection;
    VmWaitFor what;
    sd_event *event;
    bool *is_done; /* by the selection's VMs */
    bool timed_out, gone;
};

/* What has to happen: the signal, the event of GetEvents, and the word of messages. */
static const struct {
    const char *signal, *event, *words;
} kinds[] = {
    [VM_WAIT_DEAD] = { "Died", "died", "was dead" },
    [VM_WAIT_STARTED] = { "PayloadStarted", "payload-started", "had started its payload" },
    [VM_WAIT_READY] = { "PayloadReady", "payload-ready", "was ready" },
    [VM_WAIT_FINISHED] = { "PayloadFinished", "payload-finished", "had finished its payload" },
    [VM_WAIT_STOPPED] = { "Died", "died", "had stopped" },
};

static void end_if_complete(VmWait *wait)
{
    for (size_t i = 0; i < wait->selection->n_vms; i++) {
        if (!wait->is_done[i] && !wait->selection->vms[i].failed)
            return;
    }
    (void)sd_event_exit(wait->event, 0); /* cannot fail on a live loop, here and below */
}

/* Prints @error, which the VM has failed with. */
static void fail_vm(VmWait *wait, size_t i, Error *error)
{
    vm_selection_fail(wait->selection, &wait->selection->vms[i], error);
}

static void on_died(VmWait *wait, size_t i, const char *reason)
{
    Error error = ERROR_INIT;

    if (wait->what == VM_WAIT_DEAD || wait->what == VM_WAIT_STOPPED) {
        wait->is_done[i] = true;
        return;
    }
    (void)error_set(&error, ERROR_INVALID_STATE, "VM '%s' died (%s) before it %s",
                    wait->selection->vms[i].name, reason, kinds[wait->what].words);
    fail_vm(wait, i, &error);
}

/* The stop has no step left, and the VM lives. */
static void on_steps_taken(VmWait *wait, size_t i)
{
    Error error = ERROR_INIT;

    (void)error_set(&error, ERROR_TIMED_OUT,
                    "VM '%s' has not ended in time and was left alone: 'vmctl kill' ends it",
                    wait->selection->vms[i].name);
    fail_vm(wait, i, &error);
}

/* Whether the stop's last step is over, by a change of properties. */
static bool ends_steps(DBusMessage *signal)
{
    _cleanup_(json_object_putp) struct json_object *changed = NULL;
    DBusMessageIter arguments;
    const char *step, *state;

    if (!dbus_message_is_signal(signal, DBUS_INTERFACE_PROPERTIES, "PropertiesChanged") ||
        !dbus_message_has_signature(signal, "sa{sv}as"))
        return false;
    dbus_message_iter_init(signal, &arguments);
    dbus_message_iter_next(&arguments);
    if (bus_value_to_json(&arguments, &changed) < 0)
        return false;
    if (bus_value_get_string(changed, "State", &state) && strcmp(state, "dead") == 0)
        return false;
    return bus_value_get_string(changed, "StopStep", &step) && *step == '\0';
}

static void take_signal(VmWait *wait, size_t i, DBusMessage *signal)
{
    const char *reason = "";
    dbus_uint64_t number;

    if (dbus_message_is_signal(signal, BUS_VM_INTERFACE, "Died")) {
        (void)dbus_message_get_args(signal, NULL, DBUS_TYPE_UINT64, &number, DBUS_TYPE_STRING,
                                    &reason, DBUS_TYPE_INVALID); /* "" then */
        on_died(wait, i, reason);
    } else if (dbus_message_is_signal(signal, BUS_VM_INTERFACE, kinds[wait->what].signal)) {
        wait->is_done[i] = true;
    } else if (wait->what == VM_WAIT_STOPPED && ends_steps(signal)) {
        on_steps_taken(wait, i);
    }
}

static void on_signal(void *userdata, DBusMessage *signal)
{
    VmWait *wait = userdata;

    for (size_t i = 0; i < wait->selection->n_vms; i++) {
        if (!wait->is_done[i] && !wait->selection->vms[i].failed &&
            dbus_message_has_path(signal, wait->selection->vms[i].path))
            take_signal(wait, i, signal);
    }
    end_if_complete(wait);
}

static void on_gone(void *userdata)
{
    VmWait *wait = userdata;

    wait->gone = true;
    (void)sd_event_exit(wait->event, 0);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    VmWait *wait = userdata;

    (void)source;
    (void)usec;
    wait->timed_out = true;
    (void)sd_event_exit(wait->event, 0);
    return 0;
}

static const ClientHandlers client_handlers = { .on_signal = on_signal, .on_gone = on_gone };

int vm_wait_new(
    Client *client, VmSelection *selection, VmWaitFor what, VmWait **ret_wait, Error *error)
{
    _cleanup_(vm_wait_freep) VmWait *wait = calloc(1, sizeof(*wait));
    if (!wait)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    wait->client = client;
    wait->selection = selection;
    wait->what = what;
    wait->is_done = calloc(selection->n_vms + 1, sizeof(bool));
    if (!wait->is_done)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = sd_event_new(&wait->event);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    r = client_attach(client, wait->event, &client_handlers, wait, error);
    if (r >= 0)
        r = client_watch(client, "path_namespace='" BUS_PATH "'", error);
    if (r < 0)
        return r;
    *ret_wait = TAKE_PTR(wait);
    return 0;
}

VmWait *vm_wait_free(VmWait *wait)
{
    if (!wait)
        return NULL;

    client_detach(wait->client);
    sd_event_unref(wait->event);
    free(wait->is_done);
    free(wait);
    return NULL;
}

/* Notes the VMs that it has happened to. */
static int take_history(VmWait *wait, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *events = NULL;

    int r = client_get_events(wait->client, &events, error);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(events); i++) {
        struct json_object *event = json_object_array_get_idx(events, i);
        const char *id = json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_ID));
        const char *name =
            json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_NAME));

        for (size_t j = 0; j < wait->selection->n_vms; j++) {
            if (strcmp(name, kinds[wait->what].event) == 0 &&
                strcmp(wait->selection->vms[j].path + strlen(BUS_VM_PATH_PREFIX), id) == 0)
                wait->is_done[j] = true;
        }
    }
    return r;
}

/* Looks at the VM as it is now: whether it is dead, which old events need not tell any more. */
static int look_at_vm(VmWait *wait, size_t i, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *properties = NULL;
    const char *state = "", *reason = "";

    int r = client_get_properties(wait->client, wait->selection->vms[i].path, &properties, error);
    if (r < 0)
        return r;
    (void)bus_value_get_string(properties, "State", &state); /* "" then, here and below */
    (void)bus_value_get_string(properties, "DeathReason", &reason);
    if (strcmp(state, "dead") == 0)
        on_died(wait, i, reason);
    return 0;
}

static int look_at_vms(VmWait *wait, Error *error)
{
    int r = take_history(wait, error);

    for (size_t i = 0; r >= 0 && i < wait->selection->n_vms; i++) {
        _cleanup_(error_clear) Error problem = ERROR_INIT;
        SelectedVm *vm = &wait->selection->vms[i];

        if (!wait->is_done[i] && !vm->failed && look_at_vm(wait, i, &problem) < 0)
            vm_selection_fail(wait->selection, vm, &problem);
    }
    return r;
}

static void fail_late(VmWait *wait)
{
    for (size_t i = 0; i < wait->selection->n_vms; i++) {
        Error error = ERROR_INIT;

        if (wait->is_done[i] || wait->selection->vms[i].failed)
            continue;
        (void)error_set(&error, ERROR_TIMED_OUT, "the time is up before VM '%s' %s",
                        wait->selection->vms[i].name, kinds[wait->what].words);
        fail_vm(wait, i, &error);
    }
}

int vm_wait_run(VmWait *wait, uint64_t timeout_usec, Error *error)
{
    int r = look_at_vms(wait, error);

    if (r < 0)
        return r;
    end_if_complete(wait);
    if (timeout_usec != UINT64_MAX)
        r = sd_event_add_time_relative(wait->event, NULL, CLOCK_MONOTONIC, timeout_usec, 0,
                                       on_timeout, wait);
    if (r >= 0)
        r = sd_event_loop(wait->event);
    client_detach(wait->client); /* for calls behind the loop */
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot wait");
    if (wait->gone)
        return error_set(error, ERROR_UNAVAILABLE, "virtualizationd is gone from the bus");
    if (wait->timed_out)
        fail_late(wait);
    return 0;
}
