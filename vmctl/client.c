/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/client.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "dbus/bus-loop.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/output.h"
#include "vmctl/password-agent.h"

#define NAME_LOST_MATCH                                                            \
    "type='signal',sender='" DBUS_SERVICE_DBUS "',interface='" DBUS_INTERFACE_DBUS \
    "',member='NameOwnerChanged',arg0='" BUS_NAME "'"
#define AWAY_USEC  UINT64_C(60000000) /* for a service that is started anew */
#define RULE_SIZE  512
#define CID_PREFIX "cid:"

struct Client {
    DBusConnection *connection;
    sd_event *event;             /* lent; NULL: not attached */
    sd_event_source *away_timer; /* while nobody has the service's name */
    char *owner;                 /* unique name of the service */
    BusLoop *loop;
    const ClientHandlers *handlers;
    void *userdata;
    bool asks_password;
};

/* --- errors --- */

/* The errors that libdbus and the bus daemon make; the service's own are error.c's. */
static const struct {
    const char *name;
    ErrorKind kind;
} bus_error_table[] = {
    { DBUS_ERROR_SERVICE_UNKNOWN, ERROR_UNAVAILABLE },
    { DBUS_ERROR_NAME_HAS_NO_OWNER, ERROR_UNAVAILABLE },
    { DBUS_ERROR_NO_SERVER, ERROR_UNAVAILABLE },
    { DBUS_ERROR_DISCONNECTED, ERROR_UNAVAILABLE },
    { DBUS_ERROR_NO_REPLY, ERROR_TIMED_OUT },
    { DBUS_ERROR_TIMEOUT, ERROR_TIMED_OUT },
    /* A VM that was there when its path was looked up. */
    { DBUS_ERROR_UNKNOWN_OBJECT, ERROR_NO_SUCH_VM },
};

static ErrorKind kind_of_bus_error(const char *name)
{
    for (size_t i = 0; i < ELEMENTS_OF(bus_error_table); i++) {
        if (strcmp(bus_error_table[i].name, name) == 0)
            return bus_error_table[i].kind;
    }
    return error_kind_from_bus_name(name);
}

static int set_bus_error(Error *error, const DBusError *bus_error)
{
    ErrorKind kind = kind_of_bus_error(bus_error->name);

    if (bus_error->message && bus_error->message[0] != '\0')
        return error_set(error, kind, "%s", bus_error->message);
    return error_set(error, kind, "the call failed with %s", bus_error->name);
}

/* For the time before the service is found, when whatever fails means that it is not there. */
static int set_unreachable(Error *error, const char *bus, const DBusError *bus_error)
{
    char other[256];
    const char *remedy =
        "'systemctl start virtualizationd', or as root 'virtualizationd', starts it";

    if (strcmp(bus, "session") == 0) {
        remedy = "'virtualizationd --user' starts it";
    } else if (strcmp(bus, "system") != 0) {
        (void)snprintf(other, sizeof(other), "'virtualizationd --bus=%s' starts it", bus);
        remedy = other;
    }
    return error_set(error, ERROR_UNAVAILABLE,
                     "virtualizationd cannot be reached on the bus '%s' (%s): %s", bus,
                     bus_error->message, remedy);
}

static int out_of_memory(Error *error)
{
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* --- connection --- */

static int connect_to_bus(Client *client, const char *bus, Error *error)
{
    _cleanup_(dbus_error_free) DBusError bus_error = DBUS_ERROR_INIT;

    if (strcmp(bus, "system") == 0) {
        client->connection = dbus_bus_get_private(DBUS_BUS_SYSTEM, &bus_error);
    } else if (strcmp(bus, "session") == 0) {
        client->connection = dbus_bus_get_private(DBUS_BUS_SESSION, &bus_error);
    } else {
        client->connection = dbus_connection_open_private(bus, &bus_error);
        if (client->connection)
            (void)dbus_bus_register(client->connection, &bus_error); /* looked at below */
    }
    if (dbus_error_is_set(&bus_error))
        return set_unreachable(error, bus, &bus_error);
    dbus_connection_set_exit_on_disconnect(client->connection, FALSE);
    return 0;
}

static int fetch_owner(Client *client, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *owner = NULL;
    const char *name = BUS_NAME;

    DBusMessage *call = dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS,
                                                     DBUS_INTERFACE_DBUS, "GetNameOwner");
    if (call && !dbus_message_append_args(call, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID)) {
        dbus_message_unref(call);
        call = NULL;
    }
    int r = client_call(client, call, "s", &owner, error);
    if (r < 0)
        return r;
    client->owner = strdup(json_object_get_string(owner));
    return client->owner ? 0 : out_of_memory(error);
}

static int find_service(Client *client, const char *bus, Error *error)
{
    _cleanup_(dbus_error_free) DBusError bus_error = DBUS_ERROR_INIT;

    if (fetch_owner(client, NULL) >= 0)
        return 0;
    /* Not the first step: the bus refuses to start what it has no file for, even if it runs. */
    if (!dbus_bus_start_service_by_name(client->connection, BUS_NAME, 0, NULL, &bus_error))
        return set_unreachable(error, bus, &bus_error);
    return fetch_owner(client, error);
}

int client_new(const Options *options, Client **ret_client, Error *error)
{
    _cleanup_(client_freep) Client *client = calloc(1, sizeof(*client));
    if (!client)
        return out_of_memory(error);

    client->asks_password = !options->no_ask_password;
    int r = connect_to_bus(client, options->bus, error);
    if (r < 0)
        return r;
    r = find_service(client, options->bus, error);
    if (r < 0)
        return r;

    *ret_client = TAKE_PTR(client);
    return 0;
}

Client *client_free(Client *client)
{
    if (!client)
        return NULL;

    sd_event_source_disable_unref(client->away_timer);
    bus_loop_free(client->loop);
    if (client->connection) {
        dbus_connection_close(client->connection);
        dbus_connection_unref(client->connection);
    }
    free(client->owner);
    free(client);
    return NULL;
}

/* --- signals --- */

static int on_away_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Client *client = userdata;

    (void)source;
    (void)usec;
    client->handlers->on_gone(client->userdata);
    return 0;
}

/* The service's name has another owner, or none: one that is started anew knows the VMs of the one
 * before, and tells what nobody heard of. */
static void on_owner_changed(Client *client, const char *new_owner)
{
    char *owner = *new_owner ? strdup(new_owner) : NULL;

    client->away_timer = sd_event_source_disable_unref(client->away_timer);
    if (owner) {
        free(client->owner);
        client->owner = owner;
    } else if (sd_event_add_time_relative(client->event, &client->away_timer, CLOCK_MONOTONIC,
                                          AWAY_USEC, 0, on_away_timeout, client) < 0) {
        client->handlers->on_gone(client->userdata);
    }
}

/* Whether @message says who has the service's name. */
static bool is_owner_change(DBusMessage *message, const char **ret_new_owner)
{
    const char *name, *old_owner;

    return dbus_message_is_signal(message, DBUS_INTERFACE_DBUS, "NameOwnerChanged") &&
           dbus_message_has_sender(message, DBUS_SERVICE_DBUS) &&
           dbus_message_get_args(message, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING,
                                 &old_owner, DBUS_TYPE_STRING, ret_new_owner, DBUS_TYPE_INVALID) &&
           strcmp(name, BUS_NAME) == 0;
}

static DBusHandlerResult on_message(DBusConnection *connection,
                                    DBusMessage *message,
                                    void *userdata)
{
    Client *client = userdata;
    const char *new_owner;

    (void)connection;
    if (dbus_message_is_signal(message, DBUS_INTERFACE_LOCAL, "Disconnected"))
        client->handlers->on_gone(client->userdata);
    else if (is_owner_change(message, &new_owner))
        on_owner_changed(client, new_owner);
    /* Anybody on the bus may send us a signal: only the service's are believed. */
    else if (dbus_message_get_type(message) == DBUS_MESSAGE_TYPE_SIGNAL &&
             dbus_message_has_sender(message, client->owner))
        client->handlers->on_signal(client->userdata, message);
    return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
}

static int add_match(Client *client, const char *rule, Error *error)
{
    _cleanup_(dbus_error_free) DBusError bus_error = DBUS_ERROR_INIT;

    dbus_bus_add_match(client->connection, rule, &bus_error);
    return dbus_error_is_set(&bus_error) ? set_bus_error(error, &bus_error) : 0;
}

int client_attach(
    Client *client, sd_event *event, const ClientHandlers *handlers, void *userdata, Error *error)
{
    client->handlers = handlers;
    client->userdata = userdata;
    client->event = event;
    if (!dbus_connection_add_filter(client->connection, on_message, client, NULL))
        return out_of_memory(error);

    int r = bus_loop_new(event, client->connection, SD_EVENT_PRIORITY_NORMAL, &client->loop);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot watch the bus");
    return add_match(client, NAME_LOST_MATCH, error);
}

void client_detach(Client *client)
{
    client->away_timer = sd_event_source_disable_unref(client->away_timer);
    client->loop = bus_loop_free(client->loop);
}

int client_watch(Client *client, const char *rule, Error *error)
{
    char full[RULE_SIZE];

    (void)snprintf(full, sizeof(full), "type='signal',sender='%s',%s", BUS_NAME, rule);
    return add_match(client, full, error);
}

/* --- calls --- */

DBusMessage *client_new_call(Client *client,
                             const char *path,
                             const char *interface,
                             const char *method,
                             int first_type,
                             ...)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        dbus_message_new_method_call(client->owner, path, interface, method);
    va_list arguments;

    if (!call)
        return NULL;
    dbus_message_set_auto_start(call, FALSE);
    va_start(arguments, first_type);
    bool appended = dbus_message_append_args_valist(call, first_type, arguments);
    va_end(arguments);
    return appended ? TAKE_PTR(call) : NULL;
}

static int read_reply(DBusMessage *reply,
                      const char *signature,
                      struct json_object **ret_value,
                      Error *error)
{
    DBusMessageIter iterator;

    if (!dbus_message_has_signature(reply, signature))
        return error_set(error, ERROR_FAILED,
                         "the service's reply has the signature '%s' instead of '%s'",
                         dbus_message_get_signature(reply), signature);
    if (!ret_value)
        return 0;
    dbus_message_iter_init(reply, &iterator);
    return bus_value_to_json(&iterator, ret_value) < 0 ? out_of_memory(error) : 0;
}

/* Sends @call once more, now that somebody is there to ask the user for a password. */
static DBusMessage *send_with_password(Client *client, DBusMessage *call, DBusError *bus_error)
{
    _cleanup_(password_agent_freep) PasswordAgent *agent = password_agent_new();
    _cleanup_(dbus_message_unrefp) DBusMessage *again = dbus_message_copy(call);

    if (!again)
        return NULL;
    dbus_error_free(bus_error);
    dbus_message_set_allow_interactive_authorization(again, TRUE);
    return dbus_connection_send_with_reply_and_block(client->connection, again,
                                                     DBUS_TIMEOUT_INFINITE, bus_error);
}

/* Sends @call, which is consumed and may be NULL (out of memory), and waits for the reply. */
static int send_and_wait(
    Client *client, DBusMessage *call, int timeout, DBusMessage **ret_reply, Error *error)
{
    _cleanup_(dbus_error_free) DBusError bus_error = DBUS_ERROR_INIT;

    if (!call)
        return out_of_memory(error);
    DBusMessage *reply =
        dbus_connection_send_with_reply_and_block(client->connection, call, timeout, &bus_error);
    /* Only now, as most calls need no password, and an agent takes a while to start. */
    if (!reply && client->asks_password &&
        dbus_error_has_name(&bus_error, DBUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
        reply = send_with_password(client, call, &bus_error);
    dbus_message_unref(call);
    if (!reply)
        return dbus_error_is_set(&bus_error) ? set_bus_error(error, &bus_error)
                                             : out_of_memory(error);
    *ret_reply = reply;
    return 0;
}

int client_call(Client *client,
                DBusMessage *call,
                const char *signature,
                struct json_object **ret_value,
                Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *reply = NULL;

    int r = send_and_wait(client, call, DBUS_TIMEOUT_USE_DEFAULT, &reply, error);
    return r < 0 ? r : read_reply(reply, signature, ret_value, error);
}

int client_call_patiently(Client *client, DBusMessage *call, const char *signature, Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *reply = NULL;

    int r = send_and_wait(client, call, DBUS_TIMEOUT_INFINITE, &reply, error);
    return r < 0 ? r : read_reply(reply, signature, NULL, error);
}

int client_call_for_fd(Client *client, DBusMessage *call, int *ret_fd, Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *reply = NULL;
    int fd;

    int r = send_and_wait(client, call, DBUS_TIMEOUT_USE_DEFAULT, &reply, error);
    if (r >= 0)
        r = read_reply(reply, "h", NULL, error);
    if (r < 0)
        return r;
    if (!dbus_message_get_args(reply, NULL, DBUS_TYPE_UNIX_FD, &fd, DBUS_TYPE_INVALID))
        return out_of_memory(error);
    *ret_fd = fd;
    return 0;
}

int client_call_vm(Client *client,
                   const char *path,
                   const char *method,
                   const char *signature,
                   struct json_object **ret_value,
                   Error *error)
{
    return client_call(client,
                       client_new_call(client, path, BUS_VM_INTERFACE, method, DBUS_TYPE_INVALID),
                       signature, ret_value, error);
}

static void on_reply(DBusPendingCall *pending, void *userdata)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *reply = dbus_pending_call_steal_reply(pending);
    _cleanup_(dbus_error_free) DBusError bus_error = DBUS_ERROR_INIT;
    Error error = ERROR_INIT;

    (void)userdata;
    if (reply && dbus_set_error_from_message(&bus_error, reply)) {
        (void)set_bus_error(&error, &bus_error);
        output_error(&error);
        error_clear(&error);
    }
}

void client_send_to_vm(Client *client, const char *path, const char *method)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        client_new_call(client, path, BUS_VM_INTERFACE, method, DBUS_TYPE_INVALID);
    DBusPendingCall *pending = NULL;

    if (!call || !dbus_connection_send_with_reply(client->connection, call, &pending,
                                                  DBUS_TIMEOUT_USE_DEFAULT)) {
        output_diagnostic("out of memory");
        return;
    }
    if (!pending) /* the bus is gone, which on_gone() is told too */
        return;
    if (!dbus_pending_call_set_notify(pending, on_reply, NULL, NULL))
        output_diagnostic("out of memory");
    dbus_pending_call_unref(pending);
}

int client_list_vms(Client *client, bool all, struct json_object **ret_vms, Error *error)
{
    dbus_bool_t wanted = all;

    return client_call(client,
                       client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "ListVms",
                                       DBUS_TYPE_BOOLEAN, &wanted, DBUS_TYPE_INVALID),
                       "a(osssuu)", ret_vms, error);
}

const char *client_get_vm_field(struct json_object *vm, VmField field)
{
    return json_object_get_string(json_object_array_get_idx(vm, field));
}

int client_get_properties(Client *client,
                          const char *path,
                          struct json_object **ret_properties,
                          Error *error)
{
    const char *interface = BUS_VM_INTERFACE;

    return client_call(client,
                       client_new_call(client, path, DBUS_INTERFACE_PROPERTIES, "GetAll",
                                       DBUS_TYPE_STRING, &interface, DBUS_TYPE_INVALID),
                       "a{sv}", ret_properties, error);
}

int client_get_events(Client *client, struct json_object **ret_events, Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "GetEvents", DBUS_TYPE_INVALID);
    DBusMessageIter arguments, since;

    if (call)
        dbus_message_iter_init_append(call, &arguments);
    if (!call || !dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "{st}", &since) ||
        !dbus_message_iter_close_container(&arguments, &since))
        return out_of_memory(error);
    return client_call(client, TAKE_PTR(call), "a(stsa{sv})", ret_events, error);
}

static int find_by_cid(Client *client, const char *cid, char **ret_path, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *vms = NULL;
    const char *path = NULL;
    bool found_living = false;

    int r = client_list_vms(client, true, &vms, error);
    if (r < 0)
        return r;
    for (size_t i = 0; !found_living && i < json_object_array_length(vms); i++) {
        struct json_object *vm = json_object_array_get_idx(vms, i);
        bool living = strcmp(client_get_vm_field(vm, VM_FIELD_STATE), "dead") != 0;

        /* Of several dead ones the newest, which is the first. */
        if (strcmp(client_get_vm_field(vm, VM_FIELD_CID), cid) == 0 && (living || !path)) {
            path = client_get_vm_field(vm, VM_FIELD_PATH);
            found_living = living;
        }
    }
    if (!path)
        return error_set(error, ERROR_NO_SUCH_VM, "no VM has the CID '%s'", cid);
    *ret_path = strdup(path);
    return *ret_path ? 0 : out_of_memory(error);
}

int client_find_vm(Client *client, const char *name_or_id, char **ret_path, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *path = NULL;

    /* libdbus takes no other text. */
    if (!text_is_utf8(name_or_id, strlen(name_or_id)))
        return error_set(error, ERROR_INVALID_ARGUMENT, "the name '%s' is no UTF-8", name_or_id);
    if (strncmp(name_or_id, CID_PREFIX, strlen(CID_PREFIX)) == 0)
        return find_by_cid(client, name_or_id + strlen(CID_PREFIX), ret_path, error);

    DBusMessage *call = client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "GetVm",
                                        DBUS_TYPE_STRING, &name_or_id, DBUS_TYPE_INVALID);
    int r = client_call(client, call, "o", &path, error);
    if (r < 0)
        return r;
    *ret_path = strdup(json_object_get_string(path));
    return *ret_path ? 0 : out_of_memory(error);
}
