/* SPDX-License-Identifier: Apache-2.0 */
/* Each event becomes one JSON object; a line for people is printed from it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/interrupt.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-selection.h"

#define OBJECT_MANAGER_INTERFACE "org.freedesktop.DBus.ObjectManager"
#define USEC_PER_SEC             INT64_C(1000000)
#define NSEC_PER_USEC            1000

typedef struct Events {
    Client *client;
    sd_event *event;
    JsonFormat json;
    struct json_object *names; /* VM id to name, of those that are there */
    struct json_object *past;  /* VM id to the last number of the past, with --since */
    bool has_selection;        /* else all VMs, those to come, too */
    VmSelection selection;
    Error error; /* what ended the loop, if not a signal */
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
    json_object_put(events->past);
    vm_selection_deinit(&events->selection);
    error_clear(&events->error);
}

static void end_out_of_memory(Events *events)
{
    (void)error_set(&events->error, ERROR_NO_MEMORY, "out of memory");
    (void)sd_event_exit(events->event, 0); /* cannot fail on a live loop, here and below */
}

/* --- printing --- */

static void print_line(int64_t time_usec, const char *vm, struct json_object *object)
{
    static const char *const shown_elsewhere[] = { "time", "id", "name", "event", "number" };
    const char *event = "";
    char text[OUTPUT_TIME_SIZE];

    output_format_time(time_usec, text);
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

/* A new object with what every event has. @number, its number, may be NULL. */
static int describe(Events *events,
                    const char *id,
                    int64_t time_usec,
                    const char *name,
                    struct json_object *number,
                    struct json_object **ret_object)
{
    const char *vm_name = NULL;
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;

    int r = json_member_add_number(object, "time", (uint64_t)time_usec);
    if (r >= 0)
        r = json_member_add_string(object, "id", id);
    if (r >= 0 && bus_value_get_string(events->names, id, &vm_name))
        r = json_member_add_string(object, "name", vm_name);
    if (r >= 0)
        r = json_member_add_string(object, "event", name);
    if (r >= 0 && number)
        r = json_member_add(object, "number", json_object_get(number));
    if (r >= 0)
        *ret_object = TAKE_PTR(object);
    return r;
}

static void print_object(Events *events, int64_t time_usec, struct json_object *object)
{
    const char *vm = "";

    if (!bus_value_get_string(object, "name", &vm))
        (void)bus_value_get_string(object, "id", &vm);
    if (events->json == JSON_FORMAT_OFF)
        print_line(time_usec, vm, object);
    else
        output_json(object, JSON_FORMAT_SHORT);
    /* Each event at once, also into a pipe. */
    if (output_finish(&events->error) < 0)
        (void)sd_event_exit(events->event, 0);
}

static const char *get_selected_id(const Events *events, size_t i)
{
    return events->selection.vms[i].path + strlen(BUS_VM_PATH_PREFIX);
}

static bool is_selected(const Events *events, const char *id)
{
    for (size_t i = 0; i < events->selection.n_vms; i++) {
        if (strcmp(get_selected_id(events, i), id) == 0)
            return true;
    }
    return !events->has_selection;
}

/* Whether the event is of a VM that was asked for, and none that was printed with the past. */
static bool is_wanted(Events *events, const char *id, struct json_object *number)
{
    struct json_object *last;

    if (!is_selected(events, id))
        return false;
    return !number || !json_object_object_get_ex(events->past, id, &last) ||
           json_object_get_uint64(number) > json_object_get_uint64(last);
}

/* Prints the event @name, of now, of the VM at @path. @value may be NULL. */
static int print_event(Events *events,
                       const char *path,
                       const char *name,
                       struct json_object *number,
                       const char *key,
                       struct json_object *value)
{
    const char *id = path + strlen(BUS_VM_PATH_PREFIX);
    int64_t now_usec = get_time_usec();
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    if (!is_wanted(events, id, number))
        return 0;
    int r = describe(events, id, now_usec, name, number, &object);
    if (r >= 0 && value)
        r = json_member_add(object, key, json_object_get(value));
    if (r >= 0)
        print_object(events, now_usec, object);
    return r;
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

/* Ends the loop when there is none left of the VMs that were asked for. */
static void end_if_all_gone(Events *events)
{
    for (size_t i = 0; i < events->selection.n_vms; i++) {
        if (json_object_object_get_ex(events->names, get_selected_id(events, i), NULL))
            return;
    }
    if (events->has_selection)
        (void)sd_event_exit(events->event, 0);
}

static int take_removed(Events *events, const char *path)
{
    int r = print_event(events, path, "removed", NULL, NULL, NULL);

    json_object_object_del(events->names, path + strlen(BUS_VM_PATH_PREFIX));
    end_if_all_gone(events);
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

/* --- the past --- */

static uint64_t get_past_time(struct json_object *event)
{
    struct json_object *details = json_object_array_get_idx(event, EVENT_FIELD_DETAILS);

    return json_object_get_uint64(get_member(details, "time")); /* 0 for NULL */
}

/* By time, and those of a VM at the same time by number. */
static int compare_events(const void *a, const void *b)
{
    struct json_object *first = *(struct json_object *const *)a;
    struct json_object *second = *(struct json_object *const *)b;
    uint64_t first_time = get_past_time(first), second_time = get_past_time(second);

    if (first_time != second_time)
        return first_time < second_time ? -1 : 1;
    uint64_t first_number =
        json_object_get_uint64(json_object_array_get_idx(first, EVENT_FIELD_NUMBER));
    uint64_t second_number =
        json_object_get_uint64(json_object_array_get_idx(second, EVENT_FIELD_NUMBER));
    return first_number < second_number ? -1 : first_number > second_number;
}

static int print_past_event(Events *events, struct json_object *event)
{
    const char *id = json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_ID));
    const char *name = json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_NAME));
    struct json_object *number = json_object_array_get_idx(event, EVENT_FIELD_NUMBER);
    struct json_object *details = json_object_array_get_idx(event, EVENT_FIELD_DETAILS);
    int64_t time_usec = (int64_t)get_past_time(event);
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    if (strcmp(name, "guest-error") == 0)
        name = "error"; /* as when it is told live */
    int r = describe(events, id, time_usec, name, number, &object);
    json_object_object_foreach(details, key, value)
    {
        if (r >= 0 && strcmp(key, "time") != 0)
            r = json_member_add(object, key, json_object_get(value));
    }
    if (r >= 0)
        print_object(events, time_usec, object);
    return r;
}

/* Prints what is kept, of each VM what has a number above @since. */
static int print_past(Events *events, uint64_t since, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *list = NULL;

    int r = client_get_events(events->client, &list, error);
    if (r < 0)
        return r;
    json_object_array_sort(list, compare_events);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++) {
        struct json_object *event = json_object_array_get_idx(list, i);
        struct json_object *number = json_object_array_get_idx(event, EVENT_FIELD_NUMBER);
        const char *id = json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_ID));

        if (json_object_get_uint64(number) > since && is_wanted(events, id, number))
            r = print_past_event(events, event);
        if (r >= 0)
            r = json_member_add(events->past, id, json_object_get(number));
    }
    return r < 0 ? error_set(error, ERROR_NO_MEMORY, "out of memory") : 0;
}

/* --- setting up --- */

static int set_up(Events *events, const Options *options, Error *error)
{
    uint64_t since;

    if (options->since && text_parse_u64(options->since, INT64_MAX, &since) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--since' takes the number of an event, not '%s'", options->since);
    events->json = options->json;
    events->has_selection = options->n_arguments > 0;
    events->names = json_object_new_object();
    events->past = json_object_new_object();
    if (!events->names || !events->past)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = sd_event_new(&events->event);
    if (r >= 0)
        r = interrupt_watch(events->event, NULL, NULL); /* ends the loop */
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    r = client_new(options, &events->client, error);
    if (r < 0)
        return r;
    r = client_attach(events->client, events->event, &client_handlers, events, error);
    if (r < 0)
        return r;
    /* First the signals, then VMs, names and the past: nothing falls between. */
    r = client_watch(events->client, "path_namespace='" BUS_PATH "'", error);
    if (r >= 0 && events->has_selection)
        r = vm_selection_init(&events->selection, events->client, options, error);
    if (r >= 0)
        r = fetch_names(events, error);
    if (r < 0)
        return r;
    end_if_all_gone(events); /* of which none was there */
    return options->since ? print_past(events, since, error) : 0;
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
    return (int)exit_status_from_error(events.error.kind != ERROR_NONE ? events.error.kind
                                                                       : events.selection.failed);
}
