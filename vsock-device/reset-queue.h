/* SPDX-License-Identifier: Apache-2.0 */
/* RESETs owed to packets of no connection, until the guest has room for them. Bounded: who lets it
 * run full gets no further packets read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-device/vsock-packet.h"

#define RESET_QUEUE_CAPACITY 256

typedef struct ResetTarget {
    uint64_t host_cid; /* as the guest addressed it */
    uint32_t host_port;
    uint32_t guest_port;
} ResetTarget;

typedef struct ResetQueue {
    ResetTarget targets[RESET_QUEUE_CAPACITY];
    size_t start;
    size_t size;
} ResetQueue;

bool reset_queue_is_full(const ResetQueue *queue);

/* Queues an answer to @packet. The queue may not be full. */
void reset_queue_add(ResetQueue *queue, const VsockPacket *packet);

/* Drops answers to the sender of @packet: one that it asked for with an earlier packet would end
 * what it begins with this one. */
void reset_queue_forget(ResetQueue *queue, const VsockPacket *packet);

/* Fills in the oldest answer, and removes it; false when there is none. */
bool reset_queue_take(ResetQueue *queue, VsockPacket *ret_packet);
