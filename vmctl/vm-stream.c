/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-stream.h"

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/client.h"

/* Calls @method of the VM, whose one argument is at @argument and whose reply is a stream. */
static int open_stream(const Options *options,
                       const char *vm,
                       const char *method,
                       int type,
                       const void *argument,
                       int *ret_fd,
                       Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_free_ char *path = NULL;

    int r = client_new(options, &client, error);
    if (r >= 0)
        r = client_find_vm(client, vm, &path, error);
    if (r < 0)
        return r;
    DBusMessage *call =
        client_new_call(client, path, BUS_VM_INTERFACE, method, type, argument, DBUS_TYPE_INVALID);
    return client_call_for_fd(client, call, ret_fd, error);
}

int vm_stream_connect(
    const Options *options, const char *vm, uint32_t port, int *ret_fd, Error *error)
{
    dbus_uint32_t number = port;

    return open_stream(options, vm, "ConnectVsock", DBUS_TYPE_UINT32, &number, ret_fd, error);
}

int vm_stream_open(const Options *options,
                   const char *vm,
                   const char *method,
                   const char *word,
                   int *ret_fd,
                   Error *error)
{
    return open_stream(options, vm, method, DBUS_TYPE_STRING, &word, ret_fd, error);
}
