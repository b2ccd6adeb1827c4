/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on the host's vsock ports of one VM: clients with a SOCK_SEQPACKET socket each, to
 * which every connection of the guest's goes as one message, its port (u32, little-endian), and one
 * connected stream socket. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#define VSOCK_LISTENERS_MAX 32

typedef struct VsockListeners VsockListeners;

typedef struct VsockListener {
    VsockListeners *owner;
    uint32_t port;
    int fd; /* owned; negative: this one is free */
    sd_event_source *io;
} VsockListener;

struct VsockListeners {
    sd_event *event; /* lent */
    int64_t priority;
    VsockListener listeners[VSOCK_LISTENERS_MAX];
};

void vsock_listeners_init(VsockListeners *listeners, sd_event *event, int64_t priority);
void vsock_listeners_deinit(VsockListeners *listeners);

/* Lets @fd, which is taken, listen on @port until its other end is closed. -EADDRINUSE, -EUSERS
 * when there are too many. */
int vsock_listeners_add(VsockListeners *listeners, uint32_t port, int fd);

/* The guest dials @port: hands one end of a new stream to whoever listens, and gives the other. The
 * caller closes it. -ECONNREFUSED when nobody does, or does not take them. */
int vsock_listeners_connect(VsockListeners *listeners, uint32_t port, int *ret_fd);
