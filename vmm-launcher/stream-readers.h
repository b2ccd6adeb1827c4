/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that read a stream of a VM's output, each on a socket of its own: first what is kept of
 * the past, then what comes. One that reads slowly loses bytes (see output.h); neither the VM nor
 * the other readers wait for it. One of them may write as well. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "common/byte-ring.h"

typedef struct StreamReader StreamReader;

typedef struct StreamReaders {
    sd_event *event; /* borrowed */
    int64_t priority;
    LIST_HEAD(, StreamReader) list;
    size_t n_readers;
    bool ended;
    /* What @writer sends. */
    void (*typed)(void *userdata, const char *bytes, size_t size);
    void *userdata;
    StreamReader *writer; /* NULL: nobody */
} StreamReaders;

/* Borrows @event. @typed may be NULL where nobody writes. */
void stream_readers_init(StreamReaders *readers,
                         sd_event *event,
                         int64_t priority,
                         void (*typed)(void *userdata, const char *bytes, size_t size),
                         void *userdata);
void stream_readers_deinit(StreamReaders *readers);

/* Takes @fd, a socket, whether it succeeds or not: it is sent what @past holds, then all that is
 * written. With @writes it becomes the writer, of which there is one. -EUSERS when there are
 * CONSOLE_READERS_MAX readers, -EBUSY when there is a writer, -ESHUTDOWN after the end. */
int stream_readers_add(StreamReaders *readers, const ByteRing *past, int fd, bool writes);

/* Ends the writer's stream. */
void stream_readers_end_writer(StreamReaders *readers);

void stream_readers_write(StreamReaders *readers, const char *bytes, size_t size);

/* Nothing more comes: a reader's stream ends when it has been sent what is kept for it. */
void stream_readers_end(StreamReaders *readers);

/* Whether something is kept for a reader. */
bool stream_readers_are_behind(const StreamReaders *readers);
