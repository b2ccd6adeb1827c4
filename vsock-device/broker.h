/* SPDX-License-Identifier: Apache-2.0 */
/* The device's end of the broker socket: numbers the guest's connect requests, remembers which are
 * pending, and keeps messages that the socket does not take yet. Messages:
 * protocol/broker-message.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "protocol/broker-message.h"

#define BROKER_PENDING_MAX 64

/* While anything waits to be sent nothing is received: so at most the answers to all dials that
 * were taken, one to a dial just refused, and the pending requests can be waiting. */
#define BROKER_DIALS_MAX 256
#define BROKER_QUEUE_MAX (BROKER_DIALS_MAX + 1 + BROKER_PENDING_MAX)

typedef struct Stream Stream;

typedef struct BrokerPending {
    bool used;
    uint32_t id;
    Stream *stream; /* lent; NULL once the guest has lost interest */
} BrokerPending;

typedef struct Broker {
    int fd; /* owned */
    uint32_t last_id;
    size_t n_pending;
    BrokerPending pending[BROKER_PENDING_MAX];
    size_t queue_start;
    size_t queue_size;
    uint8_t queue[BROKER_QUEUE_MAX][BROKER_MESSAGE_SIZE];
} Broker;

/* Takes @fd. */
void broker_init(Broker *broker, int fd);
void broker_deinit(Broker *broker);

bool broker_is_full(const Broker *broker); /* no further request may be made */

/* Asks for host port @port on behalf of @stream, and tells how a dial ended. Both send what they
 * can and keep the rest; that the broker is gone is seen at its socket. */
void broker_connect(Broker *broker, Stream *stream, uint32_t port);
void broker_report_dial(Broker *broker, uint32_t id, int error_number);

/* @stream is no longer there to be answered. */
void broker_forget(Broker *broker, const Stream *stream);

/* True while something waits for the socket: then it is to be flushed, and not received from. */
bool broker_has_queued(const Broker *broker);

/* -ECONNRESET when the broker is gone. */
int broker_flush(Broker *broker);

/* 1 and a message that has passed all checks, with its descriptor (a stream socket, which the
 * caller owns) or -EBADF, and for ACCEPT and REFUSE the stream it answers, or NULL when that has
 * gone. 0 when there is none; -ECONNRESET when the broker is gone; else a violation, told in
 * @error. */
int broker_receive(
    Broker *broker, BrokerMessage *ret_message, int *ret_fd, Stream **ret_stream, Error *error);
