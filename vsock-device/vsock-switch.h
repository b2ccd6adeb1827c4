/* SPDX-License-Identifier: Apache-2.0 */
/* All connections of one guest, between its two rings and the host's sockets: which packet belongs
 * to which stream, whose turn it is, and when a stream ends. Works in bounded turns, so that
 * neither a busy guest nor a busy peer keeps the others waiting. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "vhost-user/vhost-user-device.h"
#include "vsock-device/broker-client.h"
#include "vsock-device/reset-queue.h"
#include "vsock-device/stream.h"
#include "vsock-device/vsock-capture.h"

#define VSOCK_STREAMS_MAX       256 /* each may come to hold a buffer and a descriptor */
#define VSOCK_TURN_PACKETS      256
#define VSOCK_DIAL_TIMEOUT_USEC UINT64_C(2000000) /* Linux' VSOCK_DEFAULT_CONNECT_TIMEOUT */
#define VSOCK_LINGER_USEC       UINT64_C(8000000) /* Linux' VSOCK_CLOSE_TIMEOUT */
#define VSOCK_PORT_BUCKETS      64

static_assert(BROKER_DIALS_MAX == VSOCK_STREAMS_MAX, "every stream may be a dial");

typedef TAILQ_HEAD(StreamQueue, Stream) StreamQueue;
typedef LIST_HEAD(StreamList, Stream) StreamList;

struct VsockSwitch {
    uint64_t guest_cid;
    sd_event *event; /* lent, as the next two */
    VhostUserDevice *device;
    BrokerClient *broker;
    sd_event_source *timer; /* for the earliest deadline of a stream */
    sd_event_source *work;  /* enabled while a turn has left something to do */
    uint64_t next_deadline_usec;
    StreamList streams;
    size_t n_streams;
    StreamList by_ports[VSOCK_PORT_BUCKETS]; /* without those that are detached */
    StreamQueue ready;                       /* have something for the guest, in turn */
    ResetQueue resets;
    VsockCapture capture;
    uint32_t last_host_port;
    unsigned n_violations;
};

int vsock_switch_init(VsockSwitch *vsock,
                      uint64_t guest_cid,
                      sd_event *event,
                      VhostUserDevice *device,
                      BrokerClient *broker);
void vsock_switch_deinit(VsockSwitch *vsock);

/* Does one turn on both rings: to be called whenever a kick or a request may have changed what can
 * be done. */
void vsock_switch_run(VsockSwitch *vsock);

/* Ends all connections without a word to the guest, which has forgotten them. */
void vsock_switch_drop_all(VsockSwitch *vsock);

/* The broker's answer for @stream: a socket, which is taken, or -EBADF: refused. */
void vsock_switch_answer(VsockSwitch *vsock, Stream *stream, int fd);

/* Connects @fd, which is taken, to guest port @port; the end of it is told to the broker by @id. */
void vsock_switch_dial(VsockSwitch *vsock, uint32_t id, uint32_t port, int fd);
