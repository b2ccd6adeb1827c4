/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-events.h"

#include <string.h>

#include "common/text.h"
#include "virtualizationd/bus-dict.h"
#include "virtualizationd/vm.h"

#define CREATION_EVENT UINT64_C(1)

/* One VM that the client has seen something of. */
typedef struct Seen {
    const char *id; /* of the message */
    dbus_uint64_t number;
} Seen;

static uint64_t find_seen(const Seen *seen, size_t n_seen, const char *id)
{
    for (size_t i = 0; i < n_seen; i++) {
        if (strcmp(seen[i].id, id) == 0)
            return seen[i].number;
    }
    return 0;
}

static bool append_details(const SupervisorMessage *message, bool whole, DBusMessageIter *entry)
{
    BusDict dict;
    bool died = message->type == SUPERVISOR_DIED;

    bool done =
        bus_dict_open(&dict, entry) &&
        bus_dict_add_u64(&dict, "time", died ? message->record.died_usec : message->time_usec);
    if (done && died)
        done = bus_dict_add_string(&dict, "reason", death_reason_to_string(message->record.reason));
    if (done && message->type == SUPERVISOR_EVENT && message->event == VM_EVENT_PAYLOAD_FINISHED)
        done = bus_dict_add_i32(&dict, "exit-code", message->exit_code);
    if (done && message->type == SUPERVISOR_EVENT && message->event == VM_EVENT_GUEST_ERROR) {
        done = bus_dict_add_string(&dict, "code", guest_error_code_to_string(message->error_code));
        if (done && whole)
            done = bus_dict_add_string(&dict, "text", message->text);
    }
    if (done && message->type == SUPERVISOR_STOP_STEP)
        done = bus_dict_add_string(&dict, "step", stop_step_to_string((StopStep)message->value));
    return done && bus_dict_close(&dict);
}

static const char *name_event(const SupervisorMessage *message)
{
    if (message->type == SUPERVISOR_DIED)
        return vm_event_to_string(VM_EVENT_DIED);
    if (message->type == SUPERVISOR_STOP_STEP)
        return "stop-step";
    return message->type == SUPERVISOR_RUNNING ? "running" : vm_event_to_string(message->event);
}

static bool append_event(const char *id,
                         const char *name,
                         const SupervisorMessage *message,
                         bool whole,
                         DBusMessageIter *events)
{
    DBusMessageIter entry;

    return dbus_message_iter_open_container(events, DBUS_TYPE_STRUCT, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &id) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_UINT64, &message->event_number) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &name) &&
           append_details(message, whole, &entry) &&
           dbus_message_iter_close_container(events, &entry);
}

/* What happened to @vm after @number. */
static bool append_vm(const Vm *vm, uint64_t number, bool whole, DBusMessageIter *events)
{
    SupervisorMessage message = { .event_number = CREATION_EVENT, .time_usec = vm->created_usec };
    const EventHistoryEntry *entry;

    if (number < CREATION_EVENT && !append_event(vm->id, "created", &message, whole, events))
        return false;
    for (; (entry = event_history_find_after(&vm->history, number)); number = entry->number) {
        if (supervisor_message_decode(entry->bytes, entry->size, &message) < 0 ||
            !append_event(vm->id, name_event(&message), &message, whole, events))
            return false;
    }
    return true;
}

/* VMs that the client has seen and that are there no more. */
static bool append_forgotten(Daemon *daemon,
                             const Seen *seen,
                             size_t n_seen,
                             DBusMessageIter *events)
{
    for (size_t i = 0; i < n_seen; i++) {
        const SupervisorMessage message = { .event_number = seen[i].number };

        if (!vm_find_by_id(daemon, seen[i].id) &&
            !append_event(seen[i].id, "forgotten", &message, false, events))
            return false;
    }
    return true;
}

static bool append_events(Daemon *daemon,
                          const BusCaller *caller,
                          const Seen *seen,
                          size_t n_seen,
                          DBusMessageIter *arguments)
{
    DBusMessageIter events;
    const Vm *vm;

    if (!dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "(stsa{sv})", &events))
        return false;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        bool whole = caller->uid == 0 || caller->uid == vm->owner;

        if (!append_vm(vm, find_seen(seen, n_seen, vm->id), whole, &events))
            return false;
    }
    return append_forgotten(daemon, seen, n_seen, &events) &&
           dbus_message_iter_close_container(arguments, &events);
}

static int read_since(BusCall *call, Seen *seen, size_t *ret_n_seen, Error *error)
{
    DBusMessageIter arguments, entries, entry;
    size_t n_seen = 0;

    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    for (dbus_message_iter_recurse(&arguments, &entries);
         dbus_message_iter_get_arg_type(&entries) == DBUS_TYPE_DICT_ENTRY;
         dbus_message_iter_next(&entries)) {
        if (n_seen == VM_EVENTS_SINCE_MAX)
            return error_set(error, ERROR_LIMITS_EXCEEDED, "at most %d VMs can be named",
                             VM_EVENTS_SINCE_MAX);
        dbus_message_iter_recurse(&entries, &entry);
        dbus_message_iter_get_basic(&entry, &seen[n_seen].id);
        dbus_message_iter_next(&entry);
        dbus_message_iter_get_basic(&entry, &seen[n_seen].number);
        if (strlen(seen[n_seen].id) != LAUNCH_SPEC_ID_SIZE)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "'%.64s' is no id of a VM: those have %d digits", seen[n_seen].id,
                             LAUNCH_SPEC_ID_SIZE);
        n_seen++;
    }
    *ret_n_seen = n_seen;
    return 0;
}

int vm_events_answer(Daemon *daemon, BusCall *call, Error *error)
{
    _cleanup_free_ Seen *seen = calloc(VM_EVENTS_SINCE_MAX, sizeof(Seen));
    DBusMessageIter arguments;
    size_t n_seen;

    if (!seen)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = read_since(call, seen, &n_seen, error);
    if (r < 0)
        return r;
    DBusMessage *reply = bus_call_new_reply(call);
    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!append_events(daemon, bus_call_get_caller(call), seen, n_seen, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
    return 0;
}
