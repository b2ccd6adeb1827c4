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

typedef struct BrokerClient {
    int fd; /* owned */
    uint32_t last_id;
    size_t n_pending;
    BrokerPending pending[BROKER_PENDING_MAX];
    size_t queue_start;
    size_t queue_size;
    uint8_t queue[BROKER_QUEUE_MAX][BROKER_MESSAGE_SIZE];
} BrokerClient;

/* Takes @fd. */
void broker_client_init(BrokerClient *broker, int fd);
void broker_client_deinit(BrokerClient *broker);

bool broker_client_is_full(const BrokerClient *broker); /* no further request may be made */

/* Asks for host port @port on behalf of @stream, and tells how a dial ended. Both send what they
 * can and keep the rest; that the broker is gone is seen at its socket. */
void broker_client_connect(BrokerClient *broker, Stream *stream, uint32_t port);
void broker_client_report_dial(BrokerClient *broker, uint32_t id, int error_number);

/* @stream is no longer there to be answered. */
void broker_client_forget(BrokerClient *broker, const Stream *stream);

/* True while something waits for the socket: then it is to be flushed, and not received from. */
bool broker_client_has_queued(const BrokerClient *broker);

/* -ECONNRESET when the broker is gone. */
int broker_client_flush(BrokerClient *broker);

/* 1 and a message that has passed all checks, with its descriptor (a stream socket, which the
 * caller owns) or -EBADF, and for ACCEPT and REFUSE the stream it answers, or NULL when that has
 * gone. 0 when there is none; -ECONNRESET when the broker is gone; else a violation, told in
 * @error. */
int broker_client_receive(BrokerClient *broker,
                          BrokerMessage *ret_message,
                          int *ret_fd,
                          Stream **ret_stream,
                          Error *error);
