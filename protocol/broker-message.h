/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between vsock-device and the supervisor, its broker: the device opens no path and dials
 * nothing, so whoever a connection is for, the supervisor makes it and hands over one end.
 * One SOCK_SEQPACKET message is one record: u32 type, u32 id, u32 value, little-endian.
 * Neither side trusts the other: an unknown type, a wrong length, an unexpected descriptor or an
 * id that is not pending ends the device. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BROKER_MESSAGE_SIZE 12

typedef enum BrokerMessageType {
    /* device -> supervisor: the guest dials host port @value. The device numbers the requests. */
    BROKER_CONNECT = 1,
    /* supervisor -> device, to request @id: with one connected stream socket. */
    BROKER_ACCEPT = 2,
    /* supervisor -> device, to request @id: nobody listens there; the guest gets a reset. */
    BROKER_REFUSE = 3,
    /* supervisor -> device, with one stream socket: connect it to guest port @value. The
     * supervisor numbers these. */
    BROKER_DIAL = 4,
    /* device -> supervisor, to dial @id: @value is 0 or the errno of the failure; the device has
     * closed the socket then. */
    BROKER_DIALED = 5,
    /* supervisor -> device: the guest was reset, drop all connections. */
    BROKER_RESET = 6,
    /* supervisor -> device, with a descriptor as vsock-capture.h takes it: write all packets there,
     * in place of where they went before. */
    BROKER_CAPTURE = 7,
} BrokerMessageType;

typedef struct BrokerMessage {
    BrokerMessageType type;
    uint32_t id;
    uint32_t value;
} BrokerMessage;

void broker_message_encode(const BrokerMessage *message, uint8_t bytes[static BROKER_MESSAGE_SIZE]);

/* -EBADMSG for a wrong length or an unknown type. */
int broker_message_decode(const uint8_t *bytes, size_t size, BrokerMessage *ret_message);

/* How many descriptors a message of this type carries: 0 or 1. */
size_t broker_message_type_count_fds(BrokerMessageType type);
