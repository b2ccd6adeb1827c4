/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on their way to a stream of the guest link: a bounded buffer before a socket that does not
 * block. Without a socket (not connected yet) bytes stay in the buffer; after the host has gone
 * they are dropped, so that whoever writes them never gets stuck. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "guest/deadline.h"

#define OUTPUT_STREAM_CAPACITY 65536

typedef struct OutputStream {
    int fd;    /* owned; negative while there is none */
    bool gone; /* the host takes no more */
    size_t start, size;
    char buffer[OUTPUT_STREAM_CAPACITY];
} OutputStream;

void output_stream_init(OutputStream *stream);
void output_stream_deinit(OutputStream *stream);

/* Connects the stream to @fd, which it takes, or with a negative one gives the host up. */
void output_stream_take_fd(OutputStream *stream, int fd);

/* Puts all of @data behind the bytes in the buffer, or none: -ENOBUFS. */
int output_stream_append(OutputStream *stream, const void *data, size_t size);

/* Moves what can be read from @source now into the free room. Returns 1 when there may be more
 * later, 0 at its end. */
int output_stream_read_from(OutputStream *stream, int source);

bool output_stream_has_room(const OutputStream *stream);

/* True when the socket is to be polled for output. */
bool output_stream_has_pending(const OutputStream *stream);

/* Sends what the socket takes now. A host that went away is no error here. */
void output_stream_flush(OutputStream *stream);

/* Sends everything, ends the stream and waits for the host to close its side: only then has it
 * read the last byte. -ETIMEDOUT at the @deadline, -ECONNRESET when the host went away early. */
int output_stream_finish(OutputStream *stream, Deadline deadline);
