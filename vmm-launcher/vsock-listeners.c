/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vsock-listeners.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/bytes.h"
#include "common/fd-message.h"
#include "common/fd.h"

static void listener_deinit(VsockListener *listener)
{
    listener->io = sd_event_source_disable_unref(listener->io);
    listener->fd = fd_close(listener->fd);
}

void vsock_listeners_init(VsockListeners *listeners, sd_event *event, int64_t priority)
{
    listeners->event = event;
    listeners->priority = priority;
    for (size_t i = 0; i < VSOCK_LISTENERS_MAX; i++)
        listeners->listeners[i] = (VsockListener){ .owner = listeners, .fd = -EBADF };
}

void vsock_listeners_deinit(VsockListeners *listeners)
{
    for (size_t i = 0; listeners->event && i < VSOCK_LISTENERS_MAX; i++)
        listener_deinit(&listeners->listeners[i]);
}

/* A listener has nothing to say: it is gone, or breaks the rule. */
static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (void)source;
    (void)fd;
    (void)revents;
    listener_deinit(userdata);
    return 0;
}

static VsockListener *find_listener(VsockListeners *listeners, uint32_t port)
{
    for (size_t i = 0; i < VSOCK_LISTENERS_MAX; i++) {
        VsockListener *listener = &listeners->listeners[i];

        if (listener->fd >= 0 && listener->port == port)
            return listener;
    }
    return NULL;
}

int vsock_listeners_add(VsockListeners *listeners, uint32_t port, int fd)
{
    _cleanup_close_ int owned = fd;
    VsockListener *listener = NULL;

    if (find_listener(listeners, port))
        return -EADDRINUSE;
    for (size_t i = 0; i < VSOCK_LISTENERS_MAX && !listener; i++) {
        if (listeners->listeners[i].fd < 0)
            listener = &listeners->listeners[i];
    }
    if (!listener)
        return -EUSERS;

    int r = sd_event_add_io(listeners->event, &listener->io, owned, EPOLLIN, on_io, listener);
    if (r < 0)
        return r;
    (void)sd_event_source_set_priority(listener->io, listeners->priority);
    (void)sd_event_source_set_description(listener->io, "vsock-listener");
    listener->port = port;
    listener->fd = take_fd(&owned);
    return 0;
}

int vsock_listeners_connect(VsockListeners *listeners, uint32_t port, int *ret_fd)
{
    VsockListener *listener = find_listener(listeners, port);
    uint8_t bytes[sizeof(port)];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    int pair[2];

    if (!listener)
        return -ECONNREFUSED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_close_ int client_end = pair[0];
    _cleanup_close_ int guest_end = pair[1];
    byte_writer_put_le32(&writer, port);
    /* One that does not take its connections is like a full backlog: the guest may try again. */
    if (fd_message_send(listener->fd, bytes, writer.size, &client_end, 1) < 0)
        return -ECONNREFUSED;

    *ret_fd = take_fd(&guest_end);
    return 0;
}
