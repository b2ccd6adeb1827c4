/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's side of protocol/broker-message.h: answers vsock-device when the guest dials a
 * port of the host, and asks it to dial one of the guest. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

typedef struct Broker Broker;

typedef struct BrokerHandlers {
    /* The guest dials host port @port: 0 and the device's end of a stream, which the broker takes
     * over; or negative to refuse. */
    int (*connect)(void *userdata, uint32_t port, int *ret_fd);
    /* The dial @id has come to an end: 0 or a positive errno. */
    void (*dialed)(void *userdata, uint32_t id, int error_number);
    /* vsock-device is gone or breaks the protocol. */
    void (*failed)(void *userdata, const char *sentence);
} BrokerHandlers;

/* Takes @fd; @handlers outlives the result. */
int broker_new(
    sd_event *event, int fd, const BrokerHandlers *handlers, void *userdata, Broker **ret_broker);
Broker *broker_free(Broker *broker);
DEFINE_CLEANUP(Broker, broker_free);

/* Connects the stream socket @fd, which stays the caller's, to guest port @port. -EBUSY when too
 * many dials are on their way. */
int broker_dial(Broker *broker, uint32_t id, uint32_t port, int fd);

/* Lets vsock-device write all packets to @fd, which stays the caller's; see
 * vsock-device/vsock-capture.h. */
int broker_capture(Broker *broker, int fd);
