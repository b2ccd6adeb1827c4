/* SPDX-License-Identifier: Apache-2.0 */
/* The device side of one split virtqueue. Everything in it is written by the guest and may change
 * while it is read: each index, descriptor and table entry is copied once, and only the copy is
 * judged and used. Chains are taken one at a time and in order: peek, fill or drain, complete.
 * Knows no file descriptors; who notifies whom is the caller's business.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, 2.7 "Split Virtqueues". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vhost-user/guest-memory.h"

#define VIRTQUEUE_SIZE_MAX  1024 /* entries; QEMU's VIRTQUEUE_MAX_SIZE */
#define VIRTQUEUE_CHAIN_MAX 64   /* descriptors in one chain; Linux' vsock driver uses two */

/* Where the three parts are, as front-end addresses. */
typedef struct VirtqueueAddresses {
    uint64_t descriptors;
    uint64_t available;
    uint64_t used;
} VirtqueueAddresses;

typedef struct Virtqueue {
    const GuestMemory *memory; /* NULL while stopped */
    uint8_t *descriptors;
    uint8_t *available;
    uint8_t *used;
    uint16_t size;
    uint16_t next;     /* index of the next chain to take; also of the next used entry */
    uint16_t notified; /* value of @next when the guest was last asked about notification */
    bool has_event_index;
    bool has_indirect;
} Virtqueue;

typedef struct VirtqueueChain {
    uint16_t head;
    size_t n_readable; /* of @parts, first */
    size_t n_writable; /* of @parts, after them */
    uint64_t readable_size;
    uint64_t writable_size;
    struct iovec parts[VIRTQUEUE_CHAIN_MAX];
} VirtqueueChain;

/* Starts a queue of @size entries at index @base. -EINVAL when the size is no power of two up to
 * VIRTQUEUE_SIZE_MAX, -EFAULT when a part is misaligned or not in one region of @memory. @features
 * are virtio's bits; EVENT_IDX and INDIRECT_DESC are looked at. */
int virtqueue_start(Virtqueue *queue,
                    const GuestMemory *memory,
                    const VirtqueueAddresses *addresses,
                    uint32_t size,
                    uint16_t base,
                    uint64_t features);

/* Resolves the addresses of a running queue anew, after the memory table changed. -EFAULT. */
int virtqueue_remap(Virtqueue *queue, const VirtqueueAddresses *addresses);

void virtqueue_stop(Virtqueue *queue);

/* 1 and the next chain, which stays in the queue; 0 when there is none; -EBADMSG when the driver
 * broke a rule of the ring, which is then of no further use. */
int virtqueue_peek(const Virtqueue *queue, VirtqueueChain *ret_chain);

/* Hands the chain of the last peek back to the driver, with @written bytes in its writable parts.
 */
void virtqueue_complete(Virtqueue *queue, const VirtqueueChain *chain, uint32_t written);

/* True when the driver wants to hear of what was completed since the last call. */
bool virtqueue_should_notify(Virtqueue *queue);

/* Asks the driver not to kick, or to kick for the next chain. After the latter there may be a
 * chain already for which no kick comes: returns whether, and the caller peeks once more. */
void virtqueue_suppress_kicks(Virtqueue *queue);
bool virtqueue_request_kick(Virtqueue *queue);
