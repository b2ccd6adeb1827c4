/* SPDX-License-Identifier: Apache-2.0 */
#include "common/byte-ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void byte_ring_init(ByteRing *ring, size_t capacity)
{
    *ring = (ByteRing){ .capacity = capacity };
}

void byte_ring_deinit(ByteRing *ring)
{
    free(ring->data);
    ring->data = NULL;
    ring->total = 0;
}

int byte_ring_write(ByteRing *ring, const void *bytes, size_t size)
{
    const char *source = bytes;

    if (!ring->data) {
        ring->data = malloc(ring->capacity);
        if (!ring->data)
            return -ENOMEM;
    }

    if (size > ring->capacity) {
        ring->total += size - ring->capacity;
        source += size - ring->capacity;
        size = ring->capacity;
    }

    size_t start = (size_t)(ring->total % ring->capacity);
    size_t first = ring->capacity - start < size ? ring->capacity - start : size;
    memcpy(ring->data + start, source, first);
    memcpy(ring->data, source + first, size - first);
    ring->total += size;
    return 0;
}

size_t byte_ring_copy_tail(const ByteRing *ring, char *destination, size_t capacity)
{
    size_t size = ring->total < ring->capacity ? (size_t)ring->total : ring->capacity;
    if (size > capacity)
        size = capacity;
    if (size == 0)
        return 0;

    size_t start = (size_t)((ring->total - size) % ring->capacity);
    size_t first = ring->capacity - start < size ? ring->capacity - start : size;
    memcpy(destination, ring->data + start, first);
    memcpy(destination + first, ring->data, size - first);
    return size;
}

size_t byte_ring_get_chunk(const ByteRing *ring, size_t skip, const char **ret_bytes)
{
    size_t size = ring->total < ring->capacity ? (size_t)ring->total : ring->capacity;
    if (!ring->data || skip >= size)
        return 0;

    size_t left = size - skip;
    size_t start = (size_t)((ring->total - left) % ring->capacity);
    *ret_bytes = ring->data + start;
    return ring->capacity - start < left ? ring->capacity - start : left;
}
