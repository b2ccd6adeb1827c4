/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on their way to a host socket that does not take them yet: first in, first out. Holds
 * memory only while it holds bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vsock-device/vsock-connection.h"

#define STREAM_BUFFER_CAPACITY VSOCK_BUFFER_SIZE /* credit keeps the guest within it */

typedef struct StreamBuffer {
    uint8_t *data;
    size_t start;
    size_t size;
} StreamBuffer;

void stream_buffer_deinit(StreamBuffer *buffer);

/* Appends all of @parts. -ENOBUFS when they do not fit, -ENOMEM. */
int stream_buffer_append(StreamBuffer *buffer, const struct iovec *parts, size_t n_parts);

/* Lends the bytes, oldest first. Returns the number of parts. */
size_t stream_buffer_get_parts(const StreamBuffer *buffer, struct iovec ret_parts[static 2]);

/* Drops the oldest @size bytes. */
void stream_buffer_consume(StreamBuffer *buffer, size_t size);
