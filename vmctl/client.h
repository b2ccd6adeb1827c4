/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl's side of the bus: the connection to the service, calls, signals. All calls go to the
 * process that owns the service's name. While a loop runs, one that goes is waited for: its VMs
 * outlive it, and the next one goes on to tell of them. */
#pragma once

#include <dbus/dbus.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "vmctl/options.h"

typedef struct Client Client;

DEFINE_CLEANUP(DBusMessage, dbus_message_unref);

typedef struct ClientHandlers {
    /* A signal from the service; only those that client_watch() asked for. */
    void (*on_signal)(void *userdata, DBusMessage *signal);
    /* The bus is gone, or the service and nobody came in its place for a minute. */
    void (*on_gone)(void *userdata);
} ClientHandlers;

/* Connects to the bus of @options, which is "system", "session" or an address, and finds the
 * service or has it started. ERROR_UNAVAILABLE when there is none. Unless @options say otherwise, a
 * call that polkit wants a password for is sent once more, while somebody asks the user for it. */
int client_new(const Options *options, Client **ret_client, Error *error);
Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free);

/* Has @event serve the connection. @handlers and @userdata outlive @client. */
int client_attach(
    Client *client, sd_event *event, const ClientHandlers *handlers, void *userdata, Error *error);

/* Undoes client_attach(), for calls after the end of the loop, which takes no timeouts any more. */
void client_detach(Client *client);

/* Asks the bus for the service's signals that match @rule, the part behind sender. Blocks until
 * the bus has agreed, so that nothing is missed from then on. */
int client_watch(Client *client, const char *rule, Error *error);

/* A call of the object at @path with arguments as for dbus_message_append_args(), which may be
 * DBUS_TYPE_INVALID alone: then the caller appends. NULL when out of memory. */
DBusMessage *client_new_call(Client *client,
                             const char *path,
                             const char *interface,
                             const char *method,
                             int first_type,
                             ...);

/* Sends @call, which is consumed and may be NULL (out of memory), and waits for the reply, whose
 * arguments must have @signature. @ret_value, unless NULL, gets the first of them. An error
 * reply's name decides the kind of @error, its sentence is handed on. */
int client_call(Client *client,
                DBusMessage *call,
                const char *signature,
                struct json_object **ret_value,
                Error *error);

/* The same for work on images, which may take longer than the usual 25 s: waits without a limit. */
int client_call_patiently(Client *client, DBusMessage *call, const char *signature, Error *error);

/* The same for a reply that is a descriptor, which the caller closes. */
int client_call_for_fd(Client *client, DBusMessage *call, int *ret_fd, Error *error);

/* Calls a method of the VM at @path that takes no arguments. */
int client_call_vm(Client *client,
                   const char *path,
                   const char *method,
                   const char *signature,
                   struct json_object **ret_value,
                   Error *error);

/* The same without waiting: for event handlers. An error reply is printed. */
void client_send_to_vm(Client *client, const char *path, const char *method);

/* The fields of a VM in ListVms's reply. */
typedef enum VmField {
    VM_FIELD_PATH,
    VM_FIELD_ID,
    VM_FIELD_NAME,
    VM_FIELD_STATE,
    VM_FIELD_CID,
    VM_FIELD_OWNER,
} VmField;

/* The VMs, each an array by VmField, the newest first; with @all the dead ones that are kept, too.
 */
int client_list_vms(Client *client, bool all, struct json_object **ret_vms, Error *error);

/* Lends a field of one of them as text. */
const char *client_get_vm_field(struct json_object *vm, VmField field);

/* The properties of the VM at @path as an object. */
int client_get_properties(Client *client,
                          const char *path,
                          struct json_object **ret_properties,
                          Error *error);

/* The fields of an event in GetEvents's reply. */
typedef enum EventField {
    EVENT_FIELD_ID,
    EVENT_FIELD_NUMBER,
    EVENT_FIELD_NAME,
    EVENT_FIELD_DETAILS,
} EventField;

/* All events that are kept, each an array by EventField. */
int client_get_events(Client *client, struct json_object **ret_events, Error *error);

/* The object path of the VM of this name or id, or CID as "cid:N", which the caller frees. */
int client_find_vm(Client *client, const char *name_or_id, char **ret_path, Error *error);
