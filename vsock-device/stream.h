/* SPDX-License-Identifier: Apache-2.0 */
/* A connection with both its sides: the guest's in vsock-connection.h, the host's here: a Unix
 * stream socket that is read into guest memory and written from it, and a buffer for what it does
 * not take. Never blocks, and leaves no bytes counted that can no longer be delivered. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "vsock-device/stream-buffer.h"
#include "vsock-device/vsock-connection.h"

#define STREAM_NO_DEADLINE UINT64_MAX

typedef struct VsockSwitch VsockSwitch;

typedef struct Stream {
    VsockConnection connection;
    StreamBuffer to_host;
    VsockSwitch *owner; /* lent */
    int fd;             /* owned; -EBADF before the host has answered and after its side is over */
    sd_event_source *source;
    bool is_readable;       /* a read may yield bytes: edge-triggered, so remembered here */
    bool is_hung_up;        /* both directions are over, but for what is left to be read */
    bool has_shut_write;    /* the host has been told that the guest sends no more */
    bool has_shut_read;     /* or receives no more */
    bool is_ready;          /* in the ready queue */
    bool has_ports;         /* can be found by its ports */
    uint32_t dial_id;       /* while VSOCK_REQUESTING */
    uint64_t deadline_usec; /* CLOCK_MONOTONIC; the guest is to answer by then */
    TAILQ_ENTRY(Stream) ready_link;
    LIST_ENTRY(Stream) port_link;
    LIST_ENTRY(Stream) link;
} Stream;

Stream *stream_new(void);
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP(Stream, stream_free);

/* Takes @fd and has @on_event called with @stream for its edges. */
int stream_take_fd(Stream *stream, int fd, sd_event *event, sd_event_io_handler_t on_event);

/* Closes the host's side; what was buffered for it is lost. */
void stream_close_host(Stream *stream);

/* Notes what epoll says of the socket. */
void stream_on_poll(Stream *stream, uint32_t events);

/* Forwards payload of a DATA packet: writes, and buffers the rest. -ENOMEM. */
int stream_deliver(Stream *stream, const struct iovec *parts, size_t n_parts);

/* Writes what is buffered. */
void stream_flush(Stream *stream);

/* Shuts down what the guest has shut down, once what it sent before has been written. */
void stream_pass_on_shutdown(Stream *stream);

/* Reads from the host into @parts. Returns the number of bytes; 0 when there is nothing to be read
 * now, or, with the connection told, ever again. */
size_t stream_read(Stream *stream, struct iovec *parts, size_t n_parts);
