/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "virtualizationd/vm-follow.h"
#include "virtualizationd/vm.h"

#define VSOCK_PORT_MIN 1024U /* as AVF: what is below is the guest system's own */
#define WAITING_MAX    16

void vm_channels_init(VmChannels *channels)
{
    LIST_INIT(&channels->waiting);
    channels->last_id = 0;
}

static void channel_free(VmChannel *channel)
{
    LIST_REMOVE(channel, link);
    bus_call_unref(channel->call);
    (void)fd_close(channel->client_fd);
    free(channel);
}

/* Sends the request @type with @value and the supervisor's end of a new stream, and lets @call wait
 * for the answer. */
static int channel_request(
    Vm *vm, SupervisorMessageType type, uint32_t value, BusCall *call, Error *error)
{
    size_t n_waiting = 0;
    VmChannel *channel;
    int pair[2];

    LIST_FOREACH(channel, &vm->channels.waiting, link)
    {
        n_waiting++;
    }
    if (n_waiting >= WAITING_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "%d streams to VM '%s' are on their way: wait for one", WAITING_MAX,
                         vm->name);

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a stream");
    _cleanup_close_ int client_fd = pair[0];
    _cleanup_close_ int vm_fd = pair[1];
    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    const SupervisorMessage message = { .type = type,
                                        .id = ++vm->channels.last_id,
                                        .value = value };
    int r = vm_send(vm, &message, vm_fd, error);
    if (r < 0) {
        free(channel);
        return r;
    }

    channel->id = message.id;
    channel->type = type;
    channel->call = bus_call_ref(call);
    channel->client_fd = take_fd(&client_fd);
    LIST_INSERT_HEAD(&vm->channels.waiting, channel, link);
    return 0;
}

int vm_connect_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error)
{
    if (port < VSOCK_PORT_MIN)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "port %u is the guest system's own: use %u or above", port,
                         VSOCK_PORT_MIN);
    if (!vm_is_running(vm) || vm->state == VM_SUSPENDED)
        return vm_refuse_state(vm, "connected to", error);
    return channel_request(vm, SUPERVISOR_CONNECT, port, call, error);
}

/* Sent to a launcher that is still at work, the request waits until it is the supervisor. */
static int check_has_output(const Vm *vm, Error *error)
{
    if (vm->state == VM_DEAD)
        return error_set(error, ERROR_INVALID_STATE,
                         "VM '%s' is dead: GetDeathRecord has its last lines", vm->name);
    if (vm->connection < 0)
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' has no output before Start",
                         vm->name);
    return 0;
}

int vm_open_console(Vm *vm, ConsoleMode mode, BusCall *call, Error *error)
{
    int r = check_has_output(vm, error);

    return r < 0 ? r : channel_request(vm, SUPERVISOR_OPEN_CONSOLE, mode, call, error);
}

int vm_open_log(Vm *vm, LogKind kind, BusCall *call, Error *error)
{
    int r = check_has_output(vm, error);

    return r < 0 ? r : channel_request(vm, SUPERVISOR_OPEN_LOG, kind, call, error);
}

/* What a supervisor answers is of its choice: any number gets a sentence. */
static void set_refusal(const Vm *vm, const VmChannel *channel, uint32_t error_number, Error *error)
{
    int number = (int)(error_number & 0xfff);

    if (channel->type == SUPERVISOR_CONNECT)
        (void)error_set(error, number == ETIMEDOUT ? ERROR_TIMED_OUT : ERROR_CONNECTION_REFUSED,
                        "the guest does not take the connection: %s", strerror(number));
    else if (number == EBUSY)
        (void)error_set(error, ERROR_INVALID_STATE,
                        "the console of VM '%s' is taken, another client types there: open it "
                        "'read-only', or with 'take-over' in that client's place",
                        vm->name);
    else if (number == EUSERS)
        (void)error_set(error, ERROR_LIMITS_EXCEEDED,
                        "%d clients read this of VM '%s', which is the limit: close one of them",
                        CONSOLE_READERS_MAX, vm->name);
    else if (number == ESHUTDOWN)
        (void)error_set(error, ERROR_INVALID_STATE,
                        "the output of VM '%s' has ended: GetDeathRecord has its last lines",
                        vm->name);
    else
        (void)error_set(error, ERROR_FAILED, "the output of VM '%s' cannot be had: %s", vm->name,
                        strerror(number));
}

void vm_channel_answer(Vm *vm, uint32_t id, uint32_t error_number)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmChannel *channel;

    LIST_FOREACH(channel, &vm->channels.waiting, link)
    {
        if (channel->id == id)
            break;
    }
    if (!channel)
        return;

    if (error_number == 0) {
        bus_call_reply(channel->call, DBUS_TYPE_UNIX_FD, &channel->client_fd, DBUS_TYPE_INVALID);
    } else {
        set_refusal(vm, channel, error_number, &error);
        bus_call_reply_error(channel->call, &error);
    }
    channel_free(channel);
}

void vm_channel_refuse_all(Vm *vm, const Error *error)
{
    VmChannel *channel;

    while ((channel = LIST_FIRST(&vm->channels.waiting))) {
        bus_call_reply_error(channel->call, error);
        channel_free(channel);
    }
}
