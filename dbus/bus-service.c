/* SPDX-License-Identifier: Apache-2.0 */
/* A call of one of our interfaces needs the caller's uid, which the bus daemon tells on request.
 * It is asked once per connection, without blocking: calls of that connection wait in order until
 * the answer is there. Properties are public and wait for nothing.
 *
 * One match for every name that vanishes serves all callers: a match per caller would wake this
 * process less often, but dbus-daemon allows a connection 512 matches. */
#include "dbus/bus-service.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "dbus/bus-loop.h"

#define PROPERTIES_INTERFACE     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER_INTERFACE "org.freedesktop.DBus.ObjectManager"
#define CALLS_WAITING_MAX        64 /* of one connection, while its credentials are asked for */
#define CALLS_WAITING_TOTAL_MAX  512
#define MESSAGE_BODY_MAX         (1U << 20) /* bytes; a configuration is the largest thing */
#define RECONNECT_USEC           (250 * UINT64_C(1000))
#define PEERS_CHECK_USEC         (30 * UINT64_C(1000000))

#define NAME_LOST_MATCH                                                  \
    "type='signal',sender='" DBUS_SERVICE_DBUS "',path='" DBUS_PATH_DBUS \
    "',interface='" DBUS_INTERFACE_DBUS "',member='NameOwnerChanged',arg2=''"

/* What the bus says about a connection, shared by the peer and its calls. */
typedef struct Credentials {
    unsigned n_refs;
    BusCaller caller;
    char *name;
    gid_t *groups;
} Credentials;

typedef struct BusPeer {
    LIST_ENTRY(BusPeer) link;
    BusService *service;
    char *name;
    Credentials *credentials; /* NULL until they are there */
    bool is_watched;          /* its end is to be told although it has not called */
    DBusPendingCall *lookup;  /* of the credentials, or whether it is still there */
    STAILQ_HEAD(, BusCall) waiting;
    unsigned n_waiting;
} BusPeer;

struct BusCall {
    STAILQ_ENTRY(BusCall) link; /* of those that wait for their peer's credentials */
    LIST_ENTRY(BusCall) object_link;
    unsigned n_refs;
    BusService *service;
    DBusMessage *message;
    BusObject *object; /* that is called, NULL once it is gone: it may go while the call waits */
    const BusMethod *method;
    Credentials *credentials;
    unsigned generation; /* of the connection that it came by */
    bool replied;
};

struct BusObject {
    LIST_ENTRY(BusObject) link;
    BusService *service;
    char *path;
    const BusInterface *interface;
    void *object;
    LIST_HEAD(, BusCall) calls; /* that have a pointer to this */
};

struct BusService {
    DBusConnection *connection;
    char *guid;
    BusLoop *loop;
    const BusServiceHandlers *handlers;
    void *userdata;
    sd_event_source *peers_check;
    sd_event *event;
    int64_t priority;
    char *bus;  /* address, or which */
    char *name; /* NULL until it is asked for */
    bool is_connected;
    unsigned generation; /* counts connections */
    sd_event_source *reconnect;
    unsigned n_waiting; /* calls of all peers */
    BusObject *manager;
    LIST_HEAD(, BusObject) objects;
    LIST_HEAD(, BusPeer) peers;
};

/* --- calls --- */

static void credentials_unref(Credentials *credentials)
{
    if (!credentials || --credentials->n_refs > 0)
        return;
    free(credentials->name);
    free(credentials->groups);
    free(credentials);
}

BusCall *bus_call_ref(BusCall *call)
{
    call->n_refs++;
    return call;
}

BusCall *bus_call_unref(BusCall *call)
{
    if (!call || --call->n_refs > 0)
        return NULL;

    /* A handler that neither replies nor fails would leave the caller waiting. */
    assert(call->replied);
    if (call->object)
        LIST_REMOVE(call, object_link);
    dbus_message_unref(call->message);
    credentials_unref(call->credentials);
    free(call);
    return NULL;
}

DBusMessage *bus_call_get_message(const BusCall *call)
{
    return call->message;
}

const BusCaller *bus_call_get_caller(const BusCall *call)
{
    return &call->credentials->caller;
}

const BusMethod *bus_call_get_method(const BusCall *call)
{
    return call->method;
}

/* Consumes @message, which may be NULL. */
static void send_message(BusService *service, DBusMessage *message)
{
    if (!message)
        return;
    /* libdbus would keep it in the queue of a connection that has none to send it to. */
    if (service->is_connected && !dbus_connection_send(service->connection, message, NULL))
        log_warning("no memory to send a bus message");
    dbus_message_unref(message);
}

static void send_reply(BusService *service, DBusMessage *call, DBusMessage *reply)
{
    if (!reply)
        reply = dbus_message_new_error(call, DBUS_ERROR_NO_MEMORY, "out of memory");
    if (reply && dbus_message_get_no_reply(call)) {
        dbus_message_unref(reply);
        return;
    }
    send_message(service, reply);
}

/* Unique names of another bus may be the same: a reply goes where its call came from, or nowhere.
 */
static void call_send(BusCall *call, DBusMessage *reply)
{
    if (call->generation == call->service->generation)
        send_reply(call->service, call->message, reply);
    else if (reply)
        dbus_message_unref(reply);
}

DBusMessage *bus_call_new_reply(BusCall *call)
{
    return dbus_message_new_method_return(call->message);
}

void bus_call_send(BusCall *call, DBusMessage *reply)
{
    assert(!call->replied);
    assert(!reply || dbus_message_has_signature(reply, call->method->out));
    call->replied = true;
    call_send(call, reply);
}

void bus_call_reply(BusCall *call, int first_type, ...)
{
    DBusMessage *reply = bus_call_new_reply(call);
    va_list arguments;

    va_start(arguments, first_type);
    if (reply && !dbus_message_append_args_valist(reply, first_type, arguments)) {
        dbus_message_unref(reply);
        reply = NULL;
    }
    va_end(arguments);
    bus_call_send(call, reply);
}

void bus_call_reply_error(BusCall *call, const Error *error)
{
    assert(!call->replied);
    call->replied = true;
    call_send(call, dbus_message_new_error(call->message, error_kind_to_bus_name(error->kind),
                                           error_get_message(error)));
}

static void reply_failure(BusCall *call, int r, Error *error)
{
    if (error->kind == ERROR_NONE)
        (void)error_set(error, r == -ENOMEM ? ERROR_NO_MEMORY : ERROR_FAILED, "%s: %s",
                        call->method->name, strerror(-r));
    bus_call_reply_error(call, error);
}

/* NULL, and the call is answered, when the object is gone. */
static BusObject *find_object_of_call(BusCall *call)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (!call->object) {
        (void)error_set(&error, ERROR_NO_SUCH_VM, "no object at %s any more",
                        dbus_message_get_path(call->message));
        bus_call_reply_error(call, &error);
    }
    return call->object;
}

void bus_call_run(BusCall *call)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BusObject *object = find_object_of_call(call);

    if (!object)
        return;
    int r = call->method->handler(object->object, call, &error);
    if (r < 0)
        reply_failure(call, r, &error);
}

/* Runs @taken, whose caller is known, once the caller has the right to it, and consumes the
 * reference. */
static void call_authorize(BusCall *taken)
{
    _cleanup_(bus_call_unrefp) BusCall *call = taken;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BusObject *object = find_object_of_call(call);

    if (!object)
        return;
    int r = call->method->right ? object->interface->authorize(object->object, call, &error) : 1;
    if (r < 0)
        reply_failure(call, r, &error);
    else if (r > 0)
        bus_call_run(call);
}

/* Answers @call with an error without running it, and consumes the reference. */
static void call_fail(BusCall *call, ErrorKind kind, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)error_set(&error, kind, "%s", sentence);
    bus_call_reply_error(call, &error);
    bus_call_unref(call);
}

/* --- callers --- */

static BusPeer *find_peer(BusService *service, const char *name)
{
    BusPeer *peer;

    LIST_FOREACH(peer, &service->peers, link)
    {
        if (strcmp(peer->name, name) == 0)
            return peer;
    }
    return NULL;
}

static void peer_free(BusPeer *peer)
{
    BusCall *call;

    LIST_REMOVE(peer, link);
    if (peer->lookup) {
        dbus_pending_call_cancel(peer->lookup);
        dbus_pending_call_unref(peer->lookup);
    }
    while ((call = STAILQ_FIRST(&peer->waiting))) {
        STAILQ_REMOVE_HEAD(&peer->waiting, link);
        peer->service->n_waiting--;
        call_fail(call, ERROR_ACCESS_DENIED, "the bus does not know the caller");
    }
    credentials_unref(peer->credentials);
    free(peer->name);
    free(peer);
}

/* Looks @key up in a reply of type a{sv}. */
static bool find_entry(DBusMessage *reply, const char *key, DBusMessageIter *ret_variant)
{
    DBusMessageIter arguments, entries, entry;

    if (!dbus_message_has_signature(reply, "a{sv}") || !dbus_message_iter_init(reply, &arguments))
        return false;
    for (dbus_message_iter_recurse(&arguments, &entries);
         dbus_message_iter_get_arg_type(&entries) == DBUS_TYPE_DICT_ENTRY;
         dbus_message_iter_next(&entries)) {
        const char *name;

        dbus_message_iter_recurse(&entries, &entry);
        dbus_message_iter_get_basic(&entry, &name);
        if (strcmp(name, key) != 0)
            continue;
        dbus_message_iter_next(&entry);
        dbus_message_iter_recurse(&entry, ret_variant);
        return true;
    }
    return false;
}

static bool find_u32(DBusMessage *reply, const char *key, uint32_t *ret_value)
{
    DBusMessageIter variant;

    if (!find_entry(reply, key, &variant) ||
        dbus_message_iter_get_arg_type(&variant) != DBUS_TYPE_UINT32)
        return false;
    dbus_message_iter_get_basic(&variant, ret_value);
    return true;
}

/* A bus that does not tell the caller's groups leaves it without any. */
static int read_groups(DBusMessage *reply, Credentials *credentials)
{
    DBusMessageIter variant, array;
    const dbus_uint32_t *groups;
    int n_groups = 0;

    if (!find_entry(reply, "UnixGroupIDs", &variant) ||
        dbus_message_iter_get_arg_type(&variant) != DBUS_TYPE_ARRAY ||
        dbus_message_iter_get_element_type(&variant) != DBUS_TYPE_UINT32)
        return 0;
    dbus_message_iter_recurse(&variant, &array);
    dbus_message_iter_get_fixed_array(&array, &groups, &n_groups);
    if (n_groups == 0)
        return 0;
    credentials->groups = calloc((size_t)n_groups, sizeof(*credentials->groups));
    if (!credentials->groups)
        return -ENOMEM;
    memcpy(credentials->groups, groups, (size_t)n_groups * sizeof(*groups));
    credentials->caller.groups = credentials->groups;
    credentials->caller.n_groups = (size_t)n_groups;
    return 0;
}

/* NULL when the peer has gone, is no local process, or there is no memory. */
static Credentials *read_credentials(DBusMessage *reply, const char *name)
{
    uint32_t uid, pid = 0;

    if (!reply || dbus_message_get_type(reply) != DBUS_MESSAGE_TYPE_METHOD_RETURN ||
        !find_u32(reply, "UnixUserID", &uid))
        return NULL;
    (void)find_u32(reply, "ProcessID", &pid);

    Credentials *credentials = calloc(1, sizeof(*credentials));
    if (!credentials)
        return NULL;
    credentials->n_refs = 1;
    credentials->name = strdup(name);
    credentials->caller = (BusCaller){ .name = credentials->name, .uid = uid, .pid = (pid_t)pid };
    if (!credentials->name || read_groups(reply, credentials) < 0) {
        credentials_unref(credentials);
        return NULL;
    }
    return credentials;
}

static void call_set_caller(BusCall *call, const BusPeer *peer)
{
    call->credentials = peer->credentials;
    call->credentials->n_refs++;
}

static void peer_is_gone(BusPeer *peer)
{
    BusService *service = peer->service;

    if (peer->credentials || peer->is_watched)
        service->handlers->peer_gone(service->userdata, peer->name);
    peer_free(peer);
}

static void on_credentials(DBusPendingCall *pending, void *userdata)
{
    BusPeer *peer = userdata;
    DBusMessage *reply = dbus_pending_call_steal_reply(pending);
    BusCall *call;

    dbus_pending_call_unref(peer->lookup);
    peer->lookup = NULL;
    peer->credentials = read_credentials(reply, peer->name);
    if (reply)
        dbus_message_unref(reply);
    if (!peer->credentials) {
        peer_is_gone(peer);
        return;
    }
    while ((call = STAILQ_FIRST(&peer->waiting))) {
        STAILQ_REMOVE_HEAD(&peer->waiting, link);
        peer->n_waiting--;
        peer->service->n_waiting--;
        call_set_caller(call, peer);
        call_authorize(call);
    }
}

/* Asks the bus about @peer without waiting. */
static int peer_ask(BusPeer *peer, const char *question, DBusPendingCallNotifyFunction answered)
{
    DBusMessage *message = dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS,
                                                        DBUS_INTERFACE_DBUS, question);
    bool sent =
        message &&
        dbus_message_append_args(message, DBUS_TYPE_STRING, &peer->name, DBUS_TYPE_INVALID) &&
        dbus_connection_send_with_reply(peer->service->connection, message, &peer->lookup,
                                        DBUS_TIMEOUT_USE_DEFAULT) &&
        peer->lookup && dbus_pending_call_set_notify(peer->lookup, answered, peer, NULL);

    if (message)
        dbus_message_unref(message);
    return sent ? 0 : -ENOMEM;
}

static int peer_new(BusService *service, const char *name, BusPeer **ret_peer)
{
    BusPeer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;

    peer->service = service;
    peer->name = strdup(name);
    STAILQ_INIT(&peer->waiting);
    LIST_INSERT_HEAD(&service->peers, peer, link);
    if (!peer->name || peer_ask(peer, "GetConnectionCredentials", on_credentials) < 0) {
        peer_free(peer);
        return -ENOMEM;
    }

    *ret_peer = peer;
    return 0;
}

/* Runs @call once its caller is known. Consumes the reference. */
static void call_dispatch(BusCall *call)
{
    const char *sender = dbus_message_get_sender(call->message);
    BusPeer *peer = sender ? find_peer(call->service, sender) : NULL;

    if (!sender) {
        call_fail(call, ERROR_ACCESS_DENIED, "a message without sender");
        return;
    }
    if (!peer && peer_new(call->service, sender, &peer) < 0) {
        call_fail(call, ERROR_NO_MEMORY, "out of memory");
        return;
    }
    if (peer->credentials) {
        call_set_caller(call, peer);
        call_authorize(call);
        return;
    }
    if (peer->n_waiting == CALLS_WAITING_MAX ||
        call->service->n_waiting == CALLS_WAITING_TOTAL_MAX) {
        call_fail(call, ERROR_LIMITS_EXCEEDED, "too many calls at once before the first answer");
        return;
    }
    STAILQ_INSERT_TAIL(&peer->waiting, call, link);
    peer->n_waiting++;
    peer->service->n_waiting++;
}

static void on_name_lost(BusService *service, DBusMessage *message)
{
    const char *name, *old_owner, *new_owner;

    if (!dbus_message_get_args(message, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING, &old_owner,
                               DBUS_TYPE_STRING, &new_owner, DBUS_TYPE_INVALID) ||
        *new_owner != '\0')
        return;

    BusPeer *peer = find_peer(service, name);
    if (peer)
        peer_is_gone(peer);
}

static void on_has_owner(DBusPendingCall *pending, void *userdata)
{
    BusPeer *peer = userdata;
    DBusMessage *reply = dbus_pending_call_steal_reply(pending);
    dbus_bool_t has_owner = TRUE; /* no answer is none */

    dbus_pending_call_unref(peer->lookup);
    peer->lookup = NULL;
    if (reply) {
        (void)dbus_message_get_args(reply, NULL, DBUS_TYPE_BOOLEAN, &has_owner, DBUS_TYPE_INVALID);
        dbus_message_unref(reply);
    }
    if (!has_owner)
        peer_is_gone(peer);
}

/* A bus whose queue to us is full drops signals, the end of a client among them: so those who have
 * called are looked for now and then. */
static int on_peers_check(sd_event_source *source, uint64_t usec, void *userdata)
{
    BusService *service = userdata;
    BusPeer *peer;

    (void)usec;
    LIST_FOREACH(peer, &service->peers, link)
    {
        if (peer->credentials && !peer->lookup)
            (void)peer_ask(peer, "NameHasOwner", on_has_owner); /* or the next time */
    }
    (void)sd_event_source_set_time_relative(source, PEERS_CHECK_USEC);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* Inside libdbus: all else follows from the loop. Calls under way are answered no more. */
static void on_disconnected(BusService *service)
{
    log_warning("the bus is gone: waiting for it");
    service->is_connected = false;
    service->handlers->disconnected(service->userdata);
    service->generation++;
    (void)sd_event_source_set_time_relative(service->reconnect, 0);
    (void)sd_event_source_set_enabled(service->reconnect, SD_EVENT_ONESHOT);
}

static DBusHandlerResult on_message(DBusConnection *connection,
                                    DBusMessage *message,
                                    void *userdata)
{
    BusService *service = userdata;

    (void)connection;
    if (dbus_message_is_signal(message, DBUS_INTERFACE_DBUS, "NameOwnerChanged") &&
        dbus_message_has_sender(message, DBUS_SERVICE_DBUS))
        on_name_lost(service, message);
    else if (dbus_message_is_signal(message, DBUS_INTERFACE_LOCAL, "Disconnected"))
        on_disconnected(service);
    return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
}

/* --- properties --- */

static const BusProperty *find_property(const BusInterface *interface, const char *name)
{
    for (size_t i = 0; i < interface->n_properties; i++) {
        if (strcmp(interface->properties[i].name, name) == 0)
            return &interface->properties[i];
    }
    return NULL;
}

static bool append_variant(const BusObject *object,
                           const BusProperty *property,
                           DBusMessageIter *to)
{
    DBusMessageIter variant;

    return dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, property->type, &variant) &&
           property->get(object->object, &variant) &&
           dbus_message_iter_close_container(to, &variant);
}

static bool append_entry(const BusObject *object,
                         const BusProperty *property,
                         DBusMessageIter *entries)
{
    DBusMessageIter entry;

    return dbus_message_iter_open_container(entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &property->name) &&
           append_variant(object, property, &entry) &&
           dbus_message_iter_close_container(entries, &entry);
}

/* All properties of @object as a{sv}, or those in @names. */
static bool append_properties(const BusObject *object,
                              const char *const *names,
                              DBusMessageIter *to)
{
    const BusInterface *interface = object->interface;
    DBusMessageIter entries;

    if (!dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "{sv}", &entries))
        return false;
    if (names) {
        for (; *names; names++) {
            const BusProperty *property = find_property(interface, *names);

            assert(property);
            if (!append_entry(object, property, &entries))
                return false;
        }
    } else {
        for (size_t i = 0; i < interface->n_properties; i++) {
            if (!append_entry(object, &interface->properties[i], &entries))
                return false;
        }
    }
    return dbus_message_iter_close_container(to, &entries);
}

static bool append_interfaces(const BusObject *object, DBusMessageIter *to)
{
    DBusMessageIter entries, entry;

    return dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "{sa{sv}}", &entries) &&
           dbus_message_iter_open_container(&entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &object->interface->name) &&
           append_properties(object, NULL, &entry) &&
           dbus_message_iter_close_container(&entries, &entry) &&
           dbus_message_iter_close_container(to, &entries);
}

static DBusMessage *make_error(DBusMessage *call,
                               const char *name,
                               const char *what,
                               const char *value)
{
    return dbus_message_new_error_printf(call, name, "%s '%s'", what, value);
}

/* Drops a message that ran out of memory half-way. */
static DBusMessage *finish(DBusMessage *message, bool complete)
{
    if (message && !complete) {
        dbus_message_unref(message);
        return NULL;
    }
    return message;
}

static DBusMessage *properties_get(BusObject *object, DBusMessage *call)
{
    const char *interface, *name;
    DBusMessageIter arguments;

    if (!dbus_message_get_args(call, NULL, DBUS_TYPE_STRING, &interface, DBUS_TYPE_STRING, &name,
                               DBUS_TYPE_INVALID))
        return make_error(call, DBUS_ERROR_INVALID_ARGS, "expected 'ss', got",
                          dbus_message_get_signature(call));
    if (*interface && strcmp(interface, object->interface->name) != 0)
        return make_error(call, DBUS_ERROR_UNKNOWN_INTERFACE, "no interface", interface);

    const BusProperty *property = find_property(object->interface, name);
    if (!property)
        return make_error(call, DBUS_ERROR_UNKNOWN_PROPERTY, "no property", name);

    DBusMessage *reply = dbus_message_new_method_return(call);
    if (!reply)
        return NULL;
    dbus_message_iter_init_append(reply, &arguments);
    return finish(reply, append_variant(object, property, &arguments));
}

static DBusMessage *properties_get_all(BusObject *object, DBusMessage *call)
{
    const char *interface;
    DBusMessageIter arguments, entries;

    if (!dbus_message_get_args(call, NULL, DBUS_TYPE_STRING, &interface, DBUS_TYPE_INVALID))
        return make_error(call, DBUS_ERROR_INVALID_ARGS, "expected 's', got",
                          dbus_message_get_signature(call));

    DBusMessage *reply = dbus_message_new_method_return(call);
    if (!reply)
        return NULL;
    dbus_message_iter_init_append(reply, &arguments);
    if (!*interface || strcmp(interface, object->interface->name) == 0)
        return finish(reply, append_properties(object, NULL, &arguments));
    /* The standard interfaces have no properties. */
    return finish(reply,
                  dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "{sv}", &entries) &&
                      dbus_message_iter_close_container(&arguments, &entries));
}

static DBusMessage *properties_set(BusObject *object, DBusMessage *call)
{
    const char *interface, *name;
    DBusMessageIter arguments;

    if (!dbus_message_has_signature(call, "ssv") || !dbus_message_iter_init(call, &arguments))
        return make_error(call, DBUS_ERROR_INVALID_ARGS, "expected 'ssv', got",
                          dbus_message_get_signature(call));
    dbus_message_iter_get_basic(&arguments, &interface);
    dbus_message_iter_next(&arguments);
    dbus_message_iter_get_basic(&arguments, &name);
    if (*interface && strcmp(interface, object->interface->name) != 0)
        return make_error(call, DBUS_ERROR_UNKNOWN_INTERFACE, "no interface", interface);
    if (!find_property(object->interface, name))
        return make_error(call, DBUS_ERROR_UNKNOWN_PROPERTY, "no property", name);
    return make_error(call, DBUS_ERROR_PROPERTY_READ_ONLY, "read-only property", name);
}

/* --- object manager and introspection --- */

static DBusMessage *get_managed_objects(BusObject *manager, DBusMessage *call)
{
    DBusMessage *reply = dbus_message_new_method_return(call);
    DBusMessageIter arguments, entries, entry;
    BusObject *object;

    if (!reply)
        return NULL;
    dbus_message_iter_init_append(reply, &arguments);
    if (!dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "{oa{sa{sv}}}", &entries))
        return finish(reply, false);
    LIST_FOREACH(object, &manager->service->objects, link)
    {
        if (object == manager)
            continue;
        if (!dbus_message_iter_open_container(&entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) ||
            !dbus_message_iter_append_basic(&entry, DBUS_TYPE_OBJECT_PATH, &object->path) ||
            !append_interfaces(object, &entry) ||
            !dbus_message_iter_close_container(&entries, &entry))
            return finish(reply, false);
    }
    return finish(reply, dbus_message_iter_close_container(&arguments, &entries));
}

static const char introspection_head[] = DBUS_INTROSPECT_1_0_XML_DOCTYPE_DECL_NODE
    "<node>\n"
    "  <interface name=\"org.freedesktop.DBus.Introspectable\">\n"
    "    <method name=\"Introspect\"><arg name=\"xml\" type=\"s\" direction=\"out\"/></method>\n"
    "  </interface>\n"
    "  <interface name=\"org.freedesktop.DBus.Peer\">\n"
    "    <method name=\"Ping\"/>\n"
    "    <method name=\"GetMachineId\"><arg name=\"id\" type=\"s\" direction=\"out\"/></method>\n"
    "  </interface>\n"
    "  <interface name=\"" PROPERTIES_INTERFACE "\">\n"
    "    <method name=\"Get\"><arg name=\"interface\" type=\"s\" direction=\"in\"/>"
    "<arg name=\"property\" type=\"s\" direction=\"in\"/>"
    "<arg name=\"value\" type=\"v\" direction=\"out\"/></method>\n"
    "    <method name=\"GetAll\"><arg name=\"interface\" type=\"s\" direction=\"in\"/>"
    "<arg name=\"properties\" type=\"a{sv}\" direction=\"out\"/></method>\n"
    "    <method name=\"Set\"><arg name=\"interface\" type=\"s\" direction=\"in\"/>"
    "<arg name=\"property\" type=\"s\" direction=\"in\"/>"
    "<arg name=\"value\" type=\"v\" direction=\"in\"/></method>\n"
    "    <signal name=\"PropertiesChanged\"><arg name=\"interface\" type=\"s\"/>"
    "<arg name=\"changed\" type=\"a{sv}\"/><arg name=\"invalidated\" type=\"as\"/></signal>\n"
    "  </interface>\n";

static const char introspection_manager[] =
    "  <interface name=\"" OBJECT_MANAGER_INTERFACE "\">\n"
    "    <method name=\"GetManagedObjects\">"
    "<arg name=\"objects\" type=\"a{oa{sa{sv}}}\" direction=\"out\"/></method>\n"
    "    <signal name=\"InterfacesAdded\"><arg name=\"object\" type=\"o\"/>"
    "<arg name=\"interfaces\" type=\"a{sa{sv}}\"/></signal>\n"
    "    <signal name=\"InterfacesRemoved\"><arg name=\"object\" type=\"o\"/>"
    "<arg name=\"interfaces\" type=\"as\"/></signal>\n"
    "  </interface>\n";

static DBusMessage *introspect(BusObject *object, DBusMessage *call)
{
    _cleanup_free_ char *xml = NULL;
    size_t size;
    char **children = NULL;

    FILE *stream = open_memstream(&xml, &size);
    if (!stream)
        return NULL;
    fputs(introspection_head, stream);
    if (object == object->service->manager)
        fputs(introspection_manager, stream);
    fputs(object->interface->xml, stream);
    if (dbus_connection_list_registered(object->service->connection, object->path, &children)) {
        for (char **child = children; *child; child++)
            fprintf(stream, "  <node name=\"%s\"/>\n", *child);
        dbus_free_string_array(children);
    }
    fputs("</node>\n", stream);
    if (fclose(stream) != 0)
        return NULL;

    DBusMessage *reply = dbus_message_new_method_return(call);
    return finish(
        reply, reply && dbus_message_append_args(reply, DBUS_TYPE_STRING, &xml, DBUS_TYPE_INVALID));
}

/* --- dispatch --- */

static const BusMethod *find_method(const BusInterface *interface, const char *name)
{
    for (size_t i = 0; i < interface->n_methods; i++) {
        if (strcmp(interface->methods[i].name, name) == 0)
            return &interface->methods[i];
    }
    return NULL;
}

/* Takes what the arguments from @arguments on hold off *@budget; false when it is used up. Every
 * value counts, so that neither a long text nor a wide dictionary passes. */
static bool spend(DBusMessageIter *arguments, size_t *budget)
{
    for (; dbus_message_iter_get_arg_type(arguments) != DBUS_TYPE_INVALID;
         dbus_message_iter_next(arguments)) {
        int type = dbus_message_iter_get_arg_type(arguments);
        size_t size = sizeof(uint64_t);
        DBusMessageIter inner;
        const char *text;

        if (type == DBUS_TYPE_STRING || type == DBUS_TYPE_OBJECT_PATH ||
            type == DBUS_TYPE_SIGNATURE) {
            dbus_message_iter_get_basic(arguments, &text);
            size += strlen(text);
        } else if (type == DBUS_TYPE_ARRAY &&
                   dbus_type_is_fixed(dbus_message_iter_get_element_type(arguments))) {
            size *= (size_t)dbus_message_iter_get_element_count(arguments) + 1;
        } else if (dbus_type_is_container(type)) {
            dbus_message_iter_recurse(arguments, &inner);
            if (!spend(&inner, budget))
                return false;
        }
        if (size > *budget)
            return false;
        *budget -= size;
    }
    return true;
}

/* Whether the arguments are more than anything that we take. A message may have 32 MiB on the
 * system bus, and waits in memory for the caller's credentials. */
static bool is_too_large(DBusMessage *message)
{
    size_t budget = MESSAGE_BODY_MAX;
    DBusMessageIter arguments;

    return dbus_message_iter_init(message, &arguments) && !spend(&arguments, &budget);
}

/* Answers a call of our own interface at once if it is wrong, or hands it on. */
static DBusMessage *dispatch_own(BusObject *object, DBusMessage *message, bool *ret_deferred)
{
    const BusMethod *method = find_method(object->interface, dbus_message_get_member(message));
    if (!method)
        return make_error(message, DBUS_ERROR_UNKNOWN_METHOD, "no method",
                          dbus_message_get_member(message));
    if (!dbus_message_has_signature(message, method->in))
        return dbus_message_new_error_printf(message, DBUS_ERROR_INVALID_ARGS,
                                             "%s expects '%s', got '%s'", method->name, method->in,
                                             dbus_message_get_signature(message));

    if (dbus_message_contains_unix_fds(message) && !strchr(method->in, DBUS_TYPE_UNIX_FD))
        return dbus_message_new_error_printf(message, DBUS_ERROR_INVALID_ARGS,
                                             "%s takes no file descriptors", method->name);
    if (is_too_large(message))
        return dbus_message_new_error_printf(message, DBUS_ERROR_LIMITS_EXCEEDED,
                                             "%s takes at most %u bytes", method->name,
                                             MESSAGE_BODY_MAX);

    BusCall *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;

    call->n_refs = 1;
    call->service = object->service;
    call->message = dbus_message_ref(message);
    call->object = object;
    LIST_INSERT_HEAD(&object->calls, call, object_link);
    call->method = method;
    call->generation = object->service->generation;
    *ret_deferred = true;
    call_dispatch(call);
    return NULL;
}

typedef struct StandardMethod {
    const char *interface;
    const char *member;
    DBusMessage *(*handler)(BusObject *object, DBusMessage *call);
    bool manager_only;
} StandardMethod;

static const StandardMethod standard_methods[] = {
    { PROPERTIES_INTERFACE, "Get", properties_get, false },
    { PROPERTIES_INTERFACE, "GetAll", properties_get_all, false },
    { PROPERTIES_INTERFACE, "Set", properties_set, false },
    { DBUS_INTERFACE_INTROSPECTABLE, "Introspect", introspect, false },
    { OBJECT_MANAGER_INTERFACE, "GetManagedObjects", get_managed_objects, true },
};

static DBusHandlerResult on_call(DBusConnection *connection, DBusMessage *message, void *userdata)
{
    BusObject *object = userdata;
    BusService *service = object->service;
    const char *interface = dbus_message_get_interface(message);
    DBusMessage *reply = NULL;
    bool deferred = false;

    (void)connection;
    if (dbus_message_get_type(message) != DBUS_MESSAGE_TYPE_METHOD_CALL)
        return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;

    if (!interface || strcmp(interface, object->interface->name) == 0) {
        reply = dispatch_own(object, message, &deferred);
        if (!deferred)
            send_reply(service, message, reply);
        return DBUS_HANDLER_RESULT_HANDLED;
    }
    for (size_t i = 0; i < ELEMENTS_OF(standard_methods); i++) {
        const StandardMethod *method = &standard_methods[i];

        if (dbus_message_is_method_call(message, method->interface, method->member) &&
            (!method->manager_only || object == service->manager)) {
            send_reply(service, message, method->handler(object, message));
            return DBUS_HANDLER_RESULT_HANDLED;
        }
    }
    return DBUS_HANDLER_RESULT_NOT_YET_HANDLED; /* libdbus answers UnknownMethod */
}

/* --- objects --- */

static const DBusObjectPathVTable object_vtable = { .message_function = on_call };

int bus_object_new(BusService *service,
                   const char *path,
                   const BusInterface *interface,
                   void *object,
                   bool manager,
                   BusObject **ret_object,
                   Error *error)
{
    BusObject *created = calloc(1, sizeof(*created));
    if (!created)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    created->service = service;
    created->path = strdup(path);
    created->interface = interface;
    created->object = object;
    LIST_INIT(&created->calls);
    if (!created->path || !dbus_connection_try_register_object_path(
                              service->connection, path, &object_vtable, created, NULL)) {
        free(created->path);
        free(created);
        return error_set(error, ERROR_NO_MEMORY, "cannot register the bus object %s", path);
    }

    LIST_INSERT_HEAD(&service->objects, created, link);
    if (manager)
        service->manager = created;
    *ret_object = created;
    return 0;
}

BusObject *bus_object_free(BusObject *object)
{
    BusCall *call;

    if (!object)
        return NULL;

    while ((call = LIST_FIRST(&object->calls))) {
        LIST_REMOVE(call, object_link);
        call->object = NULL;
    }
    LIST_REMOVE(object, link);
    if (object->service->manager == object)
        object->service->manager = NULL;
    (void)dbus_connection_unregister_object_path(object->service->connection, object->path);
    free(object->path);
    free(object);
    return NULL;
}

const char *bus_object_get_path(const BusObject *object)
{
    return object->path;
}

static DBusMessage *new_manager_signal(BusObject *object,
                                       const char *name,
                                       DBusMessageIter *arguments)
{
    DBusMessage *signal =
        dbus_message_new_signal(object->service->manager->path, OBJECT_MANAGER_INTERFACE, name);
    if (!signal)
        return NULL;

    dbus_message_iter_init_append(signal, arguments);
    return finish(signal,
                  dbus_message_iter_append_basic(arguments, DBUS_TYPE_OBJECT_PATH, &object->path));
}

void bus_object_announce(BusObject *object)
{
    DBusMessageIter arguments;
    DBusMessage *signal = new_manager_signal(object, "InterfacesAdded", &arguments);

    if (signal)
        send_message(object->service, finish(signal, append_interfaces(object, &arguments)));
}

void bus_object_announce_removal(BusObject *object)
{
    DBusMessageIter arguments, names;
    DBusMessage *signal = new_manager_signal(object, "InterfacesRemoved", &arguments);

    if (signal)
        send_message(object->service,
                     finish(signal, dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY,
                                                                     "s", &names) &&
                                        dbus_message_iter_append_basic(&names, DBUS_TYPE_STRING,
                                                                       &object->interface->name) &&
                                        dbus_message_iter_close_container(&arguments, &names)));
}

void bus_object_emit_changed(BusObject *object, const char *const *names)
{
    DBusMessage *signal =
        dbus_message_new_signal(object->path, PROPERTIES_INTERFACE, "PropertiesChanged");
    DBusMessageIter arguments, invalidated;

    if (!signal)
        return;
    dbus_message_iter_init_append(signal, &arguments);
    send_message(object->service,
                 finish(signal, dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING,
                                                               &object->interface->name) &&
                                    append_properties(object, names, &arguments) &&
                                    dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY,
                                                                     "s", &invalidated) &&
                                    dbus_message_iter_close_container(&arguments, &invalidated)));
}

void bus_object_emit_signal(BusObject *object, const char *name, int first_type, ...)
{
    DBusMessage *signal = dbus_message_new_signal(object->path, object->interface->name, name);
    va_list arguments;

    if (!signal)
        return;
    va_start(arguments, first_type);
    signal = finish(signal, dbus_message_append_args_valist(signal, first_type, arguments));
    va_end(arguments);
    send_message(object->service, signal);
}

/* --- the service --- */

static int set_bus_error(Error *error, const char *what, DBusError *bus_error)
{
    int r = error_set(error, ERROR_UNAVAILABLE, "%s: %s", what, bus_error->message);

    dbus_error_free(bus_error);
    return r;
}

static void close_connection(BusService *service, DBusConnection *connection)
{
    dbus_connection_remove_filter(connection, on_message, service);
    dbus_connection_close(connection);
    dbus_connection_unref(connection);
}

static int open_connection(const char *bus, DBusConnection **ret_connection, Error *error)
{
    DBusError bus_error = DBUS_ERROR_INIT;
    DBusConnection *connection;

    if (strcmp(bus, "system") == 0)
        connection = dbus_bus_get_private(DBUS_BUS_SYSTEM, &bus_error);
    else if (strcmp(bus, "session") == 0)
        connection = dbus_bus_get_private(DBUS_BUS_SESSION, &bus_error);
    else
        connection = dbus_connection_open_private(bus, &bus_error);
    if (!connection)
        return set_bus_error(error, bus, &bus_error);
    dbus_connection_set_exit_on_disconnect(connection, FALSE);
    *ret_connection = connection;
    return 0;
}

static int set_up_connection(BusService *service, DBusConnection *connection, Error *error)
{
    DBusError bus_error = DBUS_ERROR_INIT;
    BusObject *object;

    /* libdbus stops reading when what it has received and we still hold passes a limit: then a
     * caller could keep the answer about its credentials from us, which its calls wait for. What
     * waits is bounded by number and size here. */
    dbus_connection_set_max_received_size(connection, LONG_MAX);
    dbus_connection_set_max_received_unix_fds(connection, LONG_MAX);
    if (!dbus_connection_add_filter(connection, on_message, service, NULL))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (!dbus_bus_register(connection, &bus_error))
        return set_bus_error(error, service->bus, &bus_error);
    dbus_bus_add_match(connection, NAME_LOST_MATCH, &bus_error);
    if (dbus_error_is_set(&bus_error))
        return set_bus_error(error, "cannot watch bus names", &bus_error);
    LIST_FOREACH(object, &service->objects, link)
    {
        if (!dbus_connection_try_register_object_path(connection, object->path, &object_vtable,
                                                      object, NULL))
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

/* Replaces the connection that there is, if there is one, once the new one stands. */
static int connect_bus(BusService *service, Error *error)
{
    DBusConnection *connection;
    char *guid = NULL;
    BusLoop *loop;

    int r = open_connection(service->bus, &connection, error);
    if (r < 0)
        return r;
    r = set_up_connection(service, connection, error);
    if (r >= 0) {
        guid = dbus_connection_get_server_id(connection);
        if (!guid)
            r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    if (r >= 0) {
        r = bus_loop_new(service->event, connection, service->priority, &loop);
        if (r < 0)
            r = error_set_errno(error, ERROR_FAILED, r, "cannot attach the bus to the event loop");
    }
    if (r < 0) {
        dbus_free(guid);
        close_connection(service, connection);
        return r;
    }

    dbus_free(service->guid);
    service->guid = guid;
    bus_loop_free(service->loop);
    if (service->connection)
        close_connection(service, service->connection);
    service->loop = loop;
    service->connection = connection;
    service->is_connected = true;
    return 0;
}

static int take_name(BusService *service, Error *error)
{
    DBusError bus_error = DBUS_ERROR_INIT;
    int r = dbus_bus_request_name(service->connection, service->name, DBUS_NAME_FLAG_DO_NOT_QUEUE,
                                  &bus_error);

    if (r < 0)
        return set_bus_error(error, service->name, &bus_error);
    if (r != DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the bus name %s is taken: is another virtualizationd running?",
                         service->name);
    return 0;
}

/* From the loop, never from within libdbus: connections come and go here. Connecting waits for the
 * bus as it does at the start, which nobody can call us by meanwhile. */
static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata)
{
    BusService *service = userdata;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)usec;
    while (!LIST_EMPTY(&service->peers))
        peer_is_gone(LIST_FIRST(&service->peers));
    int r = connect_bus(service, &error);
    if (r < 0) {
        log_debug("%s", error_get_message(&error));
        (void)sd_event_source_set_time_relative(source, RECONNECT_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
    }
    if (service->name && take_name(service, &error) < 0) {
        /* A bus that goes again meanwhile says so by the message Disconnected. */
        if (dbus_connection_get_is_connected(service->connection))
            service->handlers->lost(service->userdata, &error);
        return 0;
    }
    log_info("the bus is there again");
    if (service->name) /* else the owner of @service has not asked for one yet */
        service->handlers->reconnected(service->userdata);
    return 0;
}

int bus_service_new(sd_event *event,
                    const char *bus,
                    int64_t priority,
                    const BusServiceHandlers *handlers,
                    void *userdata,
                    BusService **ret_service,
                    Error *error)
{
    _cleanup_(bus_service_freep) BusService *service = calloc(1, sizeof(*service));
    if (!service)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    service->handlers = handlers;
    service->userdata = userdata;
    service->event = event;
    service->priority = priority;
    LIST_INIT(&service->objects);
    LIST_INIT(&service->peers);
    service->bus = strdup(bus);
    if (!service->bus)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = sd_event_add_time_relative(event, &service->peers_check, CLOCK_MONOTONIC,
                                       PEERS_CHECK_USEC, 0, on_peers_check, service);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &service->reconnect, CLOCK_MONOTONIC, 0, 0,
                                       on_reconnect, service);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot attach the bus to the event loop");
    (void)sd_event_source_set_description(service->reconnect, "bus-reconnect");
    (void)sd_event_source_set_enabled(service->reconnect, SD_EVENT_OFF);
    r = connect_bus(service, error);
    if (r < 0)
        return r;

    *ret_service = TAKE_PTR(service);
    return 0;
}

BusService *bus_service_free(BusService *service)
{
    if (!service)
        return NULL;

    assert(LIST_EMPTY(&service->objects));
    while (!LIST_EMPTY(&service->peers))
        peer_free(LIST_FIRST(&service->peers));
    sd_event_source_disable_unref(service->peers_check);
    sd_event_source_disable_unref(service->reconnect);
    bus_loop_free(service->loop);
    if (service->connection)
        close_connection(service, service->connection);
    dbus_free(service->guid);
    free(service->bus);
    free(service->name);
    free(service);
    return NULL;
}

int bus_service_request_name(BusService *service, const char *name, Error *error)
{
    service->name = strdup(name);
    if (!service->name)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return take_name(service, error);
}

DBusConnection *bus_service_get_connection(BusService *service)
{
    return service->connection;
}

const char *bus_service_get_guid(const BusService *service)
{
    return service->guid;
}

int bus_service_watch_peer(BusService *service, const char *name, Error *error)
{
    BusPeer *peer = find_peer(service, name);

    if (!peer && peer_new(service, name, &peer) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    peer->is_watched = true;
    return 0;
}

bool bus_service_has_unsent(const BusService *service)
{
    return !service->is_connected || dbus_connection_has_messages_to_send(service->connection);
}

void bus_service_flush(BusService *service)
{
    dbus_connection_flush(service->connection);
}
