/* SPDX-License-Identifier: Apache-2.0 */
/* Each event becomes one JSON object; a line for people is printed from it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/interrupt.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

#define OBJECT_MANAGER_INTERFACE "org.freedesktop.DBus.ObjectManager"
#define USEC_PER_SEC             INT64_C(1000000)
#define NSEC_PER_USEC            1000

typedef struct Events {
    Client *client;
    sd_event *event;
    JsonFormat json;
    struct json_object *names; /* VM id to name */
    Error error;               /* what ended the loop, if not a signal */
} Events;

/* A signal of VMs and the event made of it. */
typedef struct EventKind {
    const char *member, *signature;
    const char *name;       /* of the event */
    const char *second_key; /* of the second argument; the first is the event number */
} EventKind;

static const EventKind vm_event_table[] = {
    { "PayloadStarted", "t", "payload-started", NULL },
    { "PayloadReady", "t", "payload-ready", NULL },
    { "PayloadFinished", "ti", "payload-finished", "exit-code" },
    { "Error", "ts", "error", "code" },
    { "Died", "ts", "died", "reason" },
};

static void events_deinit(Events *events)
{
    client_free(events->client);
    sd_event_unref(events->event);
    json_object_put(events->names);
    error_clear(&events->error);
}

static void end_out_of_memory(Events *events)
{
    (void)error_set(&events->error, ERROR_NO_MEMORY, "out of memory");
    (void)sd_event_exit(events->event, 0); /* cannot fail on a live loop, here and below */
}

/* --- printing --- */

static void print_line(int64_t now_usec, const char *vm, struct json_object *object)
{
    static const char *const shown_elsewhere[] = { "time", "id", "name", "event", "number" };
    const char *event = "";
    char text[OUTPUT_TIME_SIZE];

    output_format_time(now_usec, text);
    (void)bus_value_get_string(object, "event", &event);
    printf("%s %s %s", text, vm, event);
    json_object_object_foreach(object, key, value)
    {
        bool shown = false;

        for (size_t i = 0; i < ELEMENTS_OF(shown_elsewhere); i++)
            shown = shown || strcmp(shown_elsewhere[i], key) == 0;
        if (shown || !value)
            continue;
        _cleanup_free_ char *line = output_dup_line(json_object_get_string(value));
        printf(" %s=%s", key, line ? line : "");
    }
    (void)putchar('\n');
}

static int64_t get_time_usec(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * USEC_PER_SEC + now.tv_nsec / NSEC_PER_USEC;
}

/* Prints the event @name of the VM at @path. @number, its number, and @value may be NULL. */
static int print_event(Events *events,
                       const char *path,
                       const char *name,
                       struct json_object *number,
                       const char *key,
                       struct json_object *value)
{
    const char *id = path + strlen(BUS_VM_PATH_PREFIX), *vm_name = NULL;
    int64_t now_usec = get_time_usec();
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;

    int r = json_member_add_number(object, "time", (uint64_t)now_usec);
    if (r >= 0)
        r = json_member_add_string(object, "id", id);
    if (r >= 0 && bus_value_get_string(events->names, id, &vm_name))
        r = json_member_add_string(object, "name", vm_name);
    if (r >= 0)
        r = json_member_add_string(object, "event", name);
    if (r >= 0 && number)
        r = json_member_add(object, "number", json_object_get(number));
    if (r >= 0 && value)
        r = json_member_add(object, key, json_object_get(value));
    if (r < 0)
        return r;

    if (events->json == JSON_FORMAT_OFF)
        print_line(now_usec, vm_name ? vm_name : id, object);
    else
        output_json(object, JSON_FORMAT_SHORT);
    /* Each event at once, also into a pipe. */
    if (output_finish(&events->error) < 0)
        (void)sd_event_exit(events->event, 0);
    return 0;
}

/* --- signals --- */

/* Lends the member @key of @object; NULL when there is none. */
static struct json_object *get_member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    (void)json_object_object_get_ex(object, key, &value); /* NULL then */
    return value;
}

static int remember_name(Events *events, const char *path, struct json_object *name)
{
    return json_member_add(events->names, path + strlen(BUS_VM_PATH_PREFIX), json_object_get(name));
}

static int take_added(Events *events, const char *path, struct json_object *interfaces)
{
    struct json_object *properties = get_member(interfaces, BUS_VM_INTERFACE);
    struct json_object *name = get_member(properties, "Name");

    if (!properties)
        return 0;
    int r = name ? remember_name(events, path, name) : 0;
    if (r < 0)
        return r;
    return print_event(events, path, "created", get_member(properties, "LastEvent"), "state",
                       get_member(properties, "State"));
}

static int take_removed(Events *events, const char *path)
{
    int r = print_event(events, path, "removed", NULL, NULL, NULL);

    json_object_object_del(events->names, path + strlen(BUS_VM_PATH_PREFIX));
    return r;
}

static int take_changed(Events *events, const char *path, struct json_object *properties)
{
    struct json_object *state = get_member(properties, "State");

    if (!state)
        return 0;
    return print_event(events, path, "state-changed", get_member(properties, "LastEvent"), "state",
                       state);
}

/* Whether @signal is this one and has this signature: another is ignored. */
static bool is_signal(DBusMessage *signal,
                      const char *interface,
                      const char *member,
                      const char *signature)
{
    return dbus_message_is_signal(signal, interface, member) &&
           dbus_message_has_signature(signal, signature);
}

/* Reads up to two arguments as JSON. */
static int read_arguments(DBusMessage *signal, struct json_object *ret_arguments[static 2])
{
    DBusMessageIter iterator;
    int r = 0;

    if (!dbus_message_iter_init(signal, &iterator))
        return 0;
    for (size_t i = 0; r >= 0 && i < 2; i++) {
        if (dbus_message_iter_get_arg_type(&iterator) != DBUS_TYPE_INVALID)
            r = bus_value_to_json(&iterator, &ret_arguments[i]);
        dbus_message_iter_next(&iterator);
    }
    return r;
}

/* A signal of the object @path with its first two arguments. */
static int take_signal(Events *events, DBusMessage *signal, struct json_object *arguments[static 2])
{
    static const size_t prefix_length = sizeof(BUS_VM_PATH_PREFIX) - 1;
    const char *path = dbus_message_get_path(signal);
    const char *first = json_object_get_string(arguments[0]);
    bool added = is_signal(signal, OBJECT_MANAGER_INTERFACE, "InterfacesAdded", "oa{sa{sv}}");

    if (added || is_signal(signal, OBJECT_MANAGER_INTERFACE, "InterfacesRemoved", "oas")) {
        if (strncmp(first, BUS_VM_PATH_PREFIX, prefix_length) != 0)
            return 0;
        return added ? take_added(events, first, arguments[1]) : take_removed(events, first);
    }
    if (strncmp(path, BUS_VM_PATH_PREFIX, prefix_length) != 0)
        return 0;
    if (is_signal(signal, DBUS_INTERFACE_PROPERTIES, "PropertiesChanged", "sa{sv}as") &&
        strcmp(first, BUS_VM_INTERFACE) == 0)
        return take_changed(events, path, arguments[1]);
    for (size_t i = 0; i < ELEMENTS_OF(vm_event_table); i++) {
        const EventKind *kind = &vm_event_table[i];

        if (is_signal(signal, BUS_VM_INTERFACE, kind->member, kind->signature))
            return print_event(events, path, kind->name, arguments[0], kind->second_key,
                               arguments[1]);
    }
    return 0;
}

static void on_signal(void *userdata, DBusMessage *signal)
{
    Events *events = userdata;
    struct json_object *arguments[2] = { NULL, NULL };

    int r = read_arguments(signal, arguments);
    if (r >= 0)
        r = take_signal(events, signal, arguments);
    if (r < 0)
        end_out_of_memory(events);
    for (size_t i = 0; i < ELEMENTS_OF(arguments); i++)
        json_object_put(arguments[i]);
}

static void on_gone(void *userdata)
{
    Events *events = userdata;

    (void)error_set(&events->error, ERROR_UNAVAILABLE, "virtualizationd is gone from the bus");
    (void)sd_event_exit(events->event, 0);
}

static const ClientHandlers client_handlers = { .on_signal = on_signal, .on_gone = on_gone };

/* --- setting up --- */

/* The names of the VMs that are there, as signals do not have them. */
static int fetch_names(Events *events, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *vms = NULL;
    int r = client_list_vms(events->client, true, &vms, error);

    for (size_t i = 0; r >= 0 && i < json_object_array_length(vms); i++) {
        struct json_object *vm = json_object_array_get_idx(vms, i);
        struct json_object *id = json_object_array_get_idx(vm, VM_FIELD_ID);
        struct json_object *name = json_object_array_get_idx(vm, VM_FIELD_NAME);

        if (json_member_add(events->names, json_object_get_string(id), json_object_get(name)) < 0)
            r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return r;
}

static int set_up(Events *events, const Options *options, Error *error)
{
    events->json = options->json;
    events->names = json_object_new_object();
    if (!events->names)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = sd_event_new(&events->event);
    if (r >= 0)
        r = interrupt_watch(events->event, NULL, NULL); /* ends the loop */
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    r = client_new(options->bus, &events->client, error);
    if (r < 0)
        return r;
    r = client_attach(events->client, events->event, &client_handlers, events, error);
    if (r < 0)
        return r;
    /* First the signals, then the names: no VM falls between. */
    r = client_watch(events->client, "path_namespace='" BUS_PATH "'", error);
    if (r < 0)
        return r;
    return fetch_names(events, error);
}

int verb_events(const Options *options)
{
    _cleanup_(events_deinit) Events events = { .error = ERROR_INIT };

    int r = set_up(&events, options, &events.error);
    if (r >= 0) {
        r = sd_event_loop(events.event);
        if (r < 0)
            (void)error_set_errno(&events.error, ERROR_FAILED, r, "cannot wait for events");
    }
    if (events.error.kind != ERROR_NONE)
        output_error(&events.error);
    return (int)exit_status_from_error(events.error.kind);
}
