/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "protocol/notify-message.h"
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
    quota_charge_release(&channel->charge);
    (void)fd_close(channel->client_fd);
    free(channel);
}

/* Sends the request @message with @vm_fd, and lets @call wait for the answer, which is @client_fd,
 * or empty when that is negative. Takes @client_fd when it succeeds. */
static int request(
    Vm *vm, SupervisorMessage *message, int vm_fd, int client_fd, BusCall *call, Error *error)
{
    size_t n_waiting = 0;
    VmChannel *channel;

    LIST_FOREACH(channel, &vm->channels.waiting, link)
    {
        n_waiting++;
    }
    if (n_waiting >= WAITING_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "%d streams to VM '%s' are on their way: wait for one", WAITING_MAX,
                         vm->name);

    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    message->id = ++vm->channels.last_id;
    int r = quota_charge_call(vm->daemon->quota, bus_call_get_caller(call)->uid, &channel->charge,
                              error);
    if (r >= 0)
        r = vm_send(vm, message, vm_fd, error);
    if (r < 0) {
        quota_charge_release(&channel->charge);
        free(channel);
        return r;
    }

    channel->id = message->id;
    channel->type = message->type;
    channel->call = bus_call_ref(call);
    channel->client_fd = client_fd;
    LIST_INSERT_HEAD(&vm->channels.waiting, channel, link);
    return 0;
}

/* The same with the two ends of a new pair of sockets. */
static int channel_request(
    Vm *vm, SupervisorMessageType type, uint32_t value, BusCall *call, Error *error)
{
    int kind = type == SUPERVISOR_LISTEN_VSOCK ? SOCK_SEQPACKET : SOCK_STREAM;
    SupervisorMessage message = { .type = type, .value = value };
    int pair[2];

    if (socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a stream");
    _cleanup_close_ int client_fd = pair[0];
    _cleanup_close_ int vm_fd = pair[1];
    int r = request(vm, &message, vm_fd, client_fd, call, error);
    if (r >= 0)
        (void)take_fd(&client_fd);
    return r;
}

static int check_port(uint32_t port, Error *error)
{
    if (port < VSOCK_PORT_MIN)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "port %u is a system's own: use %u or above", port, VSOCK_PORT_MIN);
    return 0;
}

int vm_connect_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error)
{
    int r = check_port(port, error);
    if (r < 0)
        return r;
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

/* As long as it was started and is not dead: a guest that is still to boot may dial at once. */
static int check_was_started(const Vm *vm, const char *what, Error *error)
{
    return vm->state == VM_DEAD || vm->connection < 0 ? vm_refuse_state(vm, what, error) : 0;
}

int vm_listen_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error)
{
    int r = check_port(port, error);
    if (r < 0)
        return r;
    if (port == vm->cid || port == NOTIFY_VSOCK_PORT)
        return error_set(error, ERROR_INVALID_ARGUMENT, "port %u is the one of %s: use another",
                         port, port == vm->cid ? "the guest link" : "the guest's systemd");
    r = check_was_started(vm, "listened to", error);
    return r < 0 ? r : channel_request(vm, SUPERVISOR_LISTEN_VSOCK, port, call, error);
}

/* vsock-device, which writes there, must never wait. */
static int check_capture_file(int fd, Error *error)
{
    struct stat status;
    int type = 0;
    socklen_t size = sizeof(type);

    int access = fd_get_access_mode(fd);
    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "the descriptor");
    if (S_ISSOCK(status.st_mode) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
        type == SOCK_STREAM)
        return 0;
    if (S_ISFIFO(status.st_mode) && (access == O_WRONLY || access == O_RDWR) &&
        (fcntl(fd, F_GETFL) & O_NONBLOCK))
        return 0;
    return error_set(error, ERROR_INVALID_FILE,
                     "the descriptor is neither a stream socket nor the writing end of a pipe with "
                     "O_NONBLOCK");
}

int vm_capture_vsock(Vm *vm, int fd, BusCall *call, Error *error)
{
    SupervisorMessage message = { .type = SUPERVISOR_CAPTURE_VSOCK };

    int r = check_capture_file(fd, error);
    if (r >= 0)
        r = check_was_started(vm, "captured from", error);
    return r < 0 ? r : request(vm, &message, fd, -EBADF, call, error);
}

/* What a supervisor answers is of its choice: any number gets a sentence. */
static void set_refusal(const Vm *vm, const VmChannel *channel, uint32_t error_number, Error *error)
{
    int number = (int)(error_number & 0xfff);

    if (channel->type == SUPERVISOR_CONNECT)
        (void)error_set(error, number == ETIMEDOUT ? ERROR_TIMED_OUT : ERROR_CONNECTION_REFUSED,
                        "the guest does not take the connection: %s", strerror(number));
    else if (number == EADDRINUSE)
        (void)error_set(error, ERROR_INVALID_STATE,
                        "somebody listens on that port of VM '%s' already", vm->name);
    else if (number == EUSERS && channel->type == SUPERVISOR_LISTEN_VSOCK)
        (void)error_set(error, ERROR_LIMITS_EXCEEDED,
                        "too many ports of VM '%s' are listened on: close one", vm->name);
    else if (number == EBUSY)
        (void)error_set(error, ERROR_INVALID_STATE,
                        "the console of VM '%s' is taken, another client types there: open it "
                        "'read-only', or with 'take-over' in that client's place",
                        vm->name);
    else if (number == EUSERS)
        (void)error_set(error, ERROR_LIMITS_EXCEEDED,
                        "%d clients read this of VM '%s', which is the limit: close one of them",
                        CONSOLE_READERS_MAX, vm->name);
    else if (number == EPIPE || number == ECONNRESET)
        (void)error_set(error, ERROR_INVALID_STATE, "VM '%s' is ending: its vsock device has gone",
                        vm->name);
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

    if (error_number == 0 && channel->client_fd < 0) {
        bus_call_reply(channel->call, DBUS_TYPE_INVALID);
    } else if (error_number == 0) {
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
