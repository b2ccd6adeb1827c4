/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/stream-buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void stream_buffer_deinit(StreamBuffer *buffer)
{
    free(buffer->data);
    *buffer = (StreamBuffer){ .size = 0 };
}

static void append_bytes(StreamBuffer *buffer, const uint8_t *bytes, size_t size)
{
    size_t end = (buffer->start + buffer->size) % STREAM_BUFFER_CAPACITY;
    size_t first = STREAM_BUFFER_CAPACITY - end < size ? STREAM_BUFFER_CAPACITY - end : size;

    memcpy(buffer->data + end, bytes, first);
    memcpy(buffer->data, bytes + first, size - first);
    buffer->size += size;
}

int stream_buffer_append(StreamBuffer *buffer, const struct iovec *parts, size_t n_parts)
{
    size_t room = STREAM_BUFFER_CAPACITY - buffer->size;

    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].iov_len > room)
            return -ENOBUFS;
        room -= parts[i].iov_len;
    }

    if (!buffer->data) {
        buffer->data = malloc(STREAM_BUFFER_CAPACITY);
        if (!buffer->data)
            return -ENOMEM;
    }

    for (size_t i = 0; i < n_parts; i++)
        append_bytes(buffer, parts[i].iov_base, parts[i].iov_len);
    return 0;
}

size_t stream_buffer_get_parts(const StreamBuffer *buffer, struct iovec ret_parts[static 2])
{
    if (buffer->size == 0)
        return 0;

    size_t to_end = STREAM_BUFFER_CAPACITY - buffer->start;
    size_t first = to_end < buffer->size ? to_end : buffer->size;
    ret_parts[0] = (struct iovec){ .iov_base = buffer->data + buffer->start, .iov_len = first };
    ret_parts[1] = (struct iovec){ .iov_base = buffer->data, .iov_len = buffer->size - first };
    return first < buffer->size ? 2 : 1;
}

void stream_buffer_consume(StreamBuffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    if (size == buffer->size) {
        stream_buffer_deinit(buffer);
        return;
    }
    buffer->start = (buffer->start + size) % STREAM_BUFFER_CAPACITY;
    buffer->size -= size;
}
