/* SPDX-License-Identifier: Apache-2.0 */
/* One vsock connection as the guest sees it: its states, both half-closes, and credit. No I/O:
 * packets and news from the host socket go in, and out comes what to do and which packet is owed
 * next. Source: Virtual I/O Device (VIRTIO) Version 1.2, 5.10.6. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vsock-device/vsock-packet.h"

/* What a guest may send ahead of the host's reader. Measured: more makes nothing faster. */
#define VSOCK_BUFFER_SIZE 65536U

typedef enum VsockState {
    VSOCK_WAITING_FOR_HOST, /* the guest asks; the host has not answered */
    VSOCK_REQUESTING,       /* the host asks; the guest has not answered */
    VSOCK_ESTABLISHED,
    VSOCK_RESETTING, /* the guest is owed a RESET, and nothing else */
    VSOCK_DETACHED,  /* over for the guest, and its ports are free again */
} VsockState;

/* What a packet from the guest means for the host's side. */
typedef enum VsockEvent {
    VSOCK_EVENT_NONE,
    VSOCK_EVENT_OPENED,  /* the guest took the host's request, */
    VSOCK_EVENT_REFUSED, /* or did not */
    VSOCK_EVENT_DATA,    /* the payload is to be forwarded */
    VSOCK_EVENT_SHUTDOWN,
    VSOCK_EVENT_GONE,      /* the guest has reset the connection */
    VSOCK_EVENT_VIOLATION, /* the guest broke a rule; it gets a RESET */
} VsockEvent;

typedef struct VsockConnection {
    VsockState state;
    uint32_t host_port;
    uint32_t guest_port;

    VsockOperation greeting; /* owed: a REQUEST or a RESPONSE, before anything else */
    unsigned guest_shutdown; /* VSOCK_SHUTDOWN_* that the guest has announced, */
    unsigned host_shutdown;  /* that the guest is to know of the host, */
    unsigned told_shutdown;  /* and that it has been told */

    /* Counters of bytes wrap at 2^32, as those in the packets do. */
    uint32_t received;  /* from the guest, */
    uint32_t forwarded; /* of these, gone to the host or nowhere, */
    uint32_t announced; /* and what the guest was last told of that */
    bool owes_credit_update;

    uint32_t sent; /* to the guest */
    uint32_t guest_buffer_size;
    uint32_t guest_forwarded;
    bool owes_credit_request;
    bool has_requested_credit; /* since the guest last had credit */
} VsockConnection;

/* A connection that the guest asks for, with the REQUEST it sent, and one that the host asks for.
 */
void vsock_connection_init_from_guest(VsockConnection *connection, const VsockPacket *request);
void vsock_connection_init_from_host(VsockConnection *connection,
                                     uint32_t host_port,
                                     uint32_t guest_port);

/* The host answered the guest's request. */
void vsock_connection_accept(VsockConnection *connection);

/* A packet of this connection arrived; payload is told apart by its size only. */
VsockEvent vsock_connection_receive(VsockConnection *connection, const VsockPacket *packet);

/* @size bytes that were received have left for the host socket, or never will. */
void vsock_connection_forward(VsockConnection *connection, uint32_t size);

/* Received and not forwarded yet. */
uint32_t vsock_connection_count_buffered(const VsockConnection *connection);

/* The host's side will not receive or send any more: VSOCK_SHUTDOWN_*. */
void vsock_connection_end_host(VsockConnection *connection, unsigned flags);

/* Gives the connection up: the guest gets a RESET, unless it does not know of it yet. */
void vsock_connection_reset(VsockConnection *connection);

/* The guest has forgotten the connection: it gets no further packet. */
void vsock_connection_detach(VsockConnection *connection);

/* True while the host's bytes may go to the guest, credit aside. */
bool vsock_connection_can_send(const VsockConnection *connection);

/* How many bytes the guest will take now. */
uint32_t vsock_connection_get_credit(const VsockConnection *connection);

/* There are bytes for the guest, and no credit: ask for it, once. */
void vsock_connection_want_credit(VsockConnection *connection);

/* True when a packet without payload is owed; the next call takes it to be sent. */
bool vsock_connection_has_control(const VsockConnection *connection);
VsockOperation vsock_connection_take_control(VsockConnection *connection, VsockPacket *ret_packet);

/* The header for @size bytes, which are counted as sent. */
void vsock_connection_take_data(VsockConnection *connection,
                                uint32_t size,
                                VsockPacket *ret_packet);
