/* SPDX-License-Identifier: Apache-2.0 */
/* The last bytes of a stream, up to a fixed number: what is older is overwritten. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct ByteRing {
    char *data; /* allocated with the first byte */
    size_t capacity;
    uint64_t total; /* bytes ever written */
} ByteRing;

void byte_ring_init(ByteRing *ring, size_t capacity);
void byte_ring_deinit(ByteRing *ring);

/* -ENOMEM when the memory for the ring is not to be had. */
int byte_ring_write(ByteRing *ring, const void *bytes, size_t size);

/* Copies the newest bytes, at most @capacity, oldest first. Returns how many. */
size_t byte_ring_copy_tail(const ByteRing *ring, char *destination, size_t capacity);

/* Lends what is kept in pieces, oldest first: the one that begins after @skip bytes. Returns its
 * size, 0 at the end. */
size_t byte_ring_get_chunk(const ByteRing *ring, size_t skip, const char **ret_bytes);
