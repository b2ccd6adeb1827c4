/* SPDX-License-Identifier: Apache-2.0 */
/* A D-Bus service on libdbus and sd-event: a connection, objects with one interface each out of
 * tables, properties with PropertiesChanged, ObjectManager at the root object, introspection from
 * the interface XML, and callers known by the credentials the bus vouches for. */
#pragma once

#include <dbus/dbus.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/error.h"

typedef struct BusService BusService;
typedef struct BusObject BusObject;
typedef struct BusCall BusCall;

/* Who calls, as the bus daemon says (GetConnectionCredentials). */
typedef struct BusCaller {
    const char *name; /* unique bus name */
    uid_t uid;
    pid_t pid;           /* 0: the bus does not know */
    const gid_t *groups; /* as they were when it connected */
    size_t n_groups;
} BusCaller;

/* Either replies to @call, at once or, with bus_call_ref(), later, and returns 0; or returns the
 * negative errno of error_set(@error), which becomes the reply. The arguments match the table's
 * signature already. */
typedef int (*BusMethodHandler)(void *object, BusCall *call, Error *error);

typedef struct BusMethod {
    const char *name;
    const char *in;  /* signature of the arguments */
    const char *out; /* signature of the reply */
    BusMethodHandler handler;
    const char *right; /* that the interface's authorize() is asked about; NULL: everybody's */
} BusMethod;

/* Whether the caller has the method's right: 1 runs the method now. 0 is for later: the function
 * has a reference to @call, and either bus_call_run() or bus_call_reply_error() follows. A negative
 * errno of error_set(@error) is the reply. */
typedef int (*BusAuthorize)(void *object, BusCall *call, Error *error);

/* Appends the value, of the table's type, to @variant. False when out of memory. */
typedef bool (*BusPropertyGetter)(const void *object, DBusMessageIter *variant);

typedef struct BusProperty {
    const char *name;
    const char *type;
    BusPropertyGetter get;
} BusProperty;

typedef struct BusInterface {
    const char *name;
    const char *xml; /* the <interface> element */
    const BusMethod *methods;
    size_t n_methods;
    BusAuthorize authorize; /* NULL: no method has a right */
    const BusProperty *properties;
    size_t n_properties;
} BusInterface;

typedef struct BusServiceHandlers {
    /* The connection with this unique name, which had called before, is gone. */
    void (*peer_gone)(void *userdata, const char *name);
    /* The bus is gone, and is waited for. What is sent meanwhile reaches nobody. */
    void (*disconnected)(void *userdata);
    /* It is there again: same objects, same name. Peers of the old one are gone, as told before.
     * Not called before there is a name: signals would reach nobody who waits for it. */
    void (*reconnected)(void *userdata);
    /* There is a bus again, but not for us: somebody else has the name. */
    void (*lost)(void *userdata, const Error *error);
} BusServiceHandlers;

/* Connects to @bus, which is "system", "session" or an address, and attaches to @event. Blocks: for
 * the time before the loop runs. */
int bus_service_new(sd_event *event,
                    const char *bus,
                    int64_t priority,
                    const BusServiceHandlers *handlers,
                    void *userdata,
                    BusService **ret_service,
                    Error *error);
BusService *bus_service_free(BusService *service);
DEFINE_CLEANUP(BusService, bus_service_free);

/* Takes @name and blocks until the bus has answered: objects are registered before. A bus that goes
 * is waited for, and the name taken anew. */
int bus_service_request_name(BusService *service, const char *name, Error *error);

/* For bus-query.c. */
DBusConnection *bus_service_get_connection(BusService *service);

/* What tells this bus from all others, even from one that is started anew at the same address. */
const char *bus_service_get_guid(const BusService *service);

/* Reports the connection with this unique name gone, when it is, as if it had called. It may be
 * gone already. */
int bus_service_watch_peer(BusService *service, const char *name, Error *error);

/* Whether something is queued that the bus has not taken yet. */
bool bus_service_has_unsent(const BusService *service);

/* Sends what is queued, blocking: for the end of the program. */
void bus_service_flush(BusService *service);

/* Registers @object of @interface at @path. The tables and @object outlive the result. Only the
 * object made with @manager set answers GetManagedObjects, for all others. */
int bus_object_new(BusService *service,
                   const char *path,
                   const BusInterface *interface,
                   void *object,
                   bool manager,
                   BusObject **ret_object,
                   Error *error);
BusObject *bus_object_free(BusObject *object);

/* InterfacesAdded and InterfacesRemoved for the object, from the manager's path. */
void bus_object_announce(BusObject *object);
void bus_object_announce_removal(BusObject *object);

const char *bus_object_get_path(const BusObject *object);

/* PropertiesChanged with the present values; @names ends with NULL. */
void bus_object_emit_changed(BusObject *object, const char *const *names);

/* A signal of the object's interface; the arguments as for dbus_message_append_args(). */
void bus_object_emit_signal(BusObject *object, const char *name, int first_type, ...);

BusCall *bus_call_ref(BusCall *call);
BusCall *bus_call_unref(BusCall *call);
DEFINE_CLEANUP(BusCall, bus_call_unref);

DBusMessage *bus_call_get_message(const BusCall *call);
const BusCaller *bus_call_get_caller(const BusCall *call);
const BusMethod *bus_call_get_method(const BusCall *call);

/* Runs the method of a call whose authorize() returned 0, or answers that its object has gone. */
void bus_call_run(BusCall *call);

/* The reply with these arguments, as for dbus_message_append_args(). */
void bus_call_reply(BusCall *call, int first_type, ...);

/* Sends @reply, made by bus_call_new_reply(), and consumes it. NULL, which is what an allocation
 * that failed leaves, is answered with NoMemory. */
DBusMessage *bus_call_new_reply(BusCall *call);
void bus_call_send(BusCall *call, DBusMessage *reply);

void bus_call_reply_error(BusCall *call, const Error *error);
