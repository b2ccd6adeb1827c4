/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to a descriptor on the event loop, behind a bounded queue: a socket, a pipe, a terminal or
 * a file, which is not made non-blocking as it may be shared with other programs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

#define STREAM_SINK_CAPACITY 262144

typedef struct StreamSink StreamSink;

/* Writes to @fd, which stays the caller's and outlives the sink. No other source or sink on the
 * loop has the same descriptor. @on_progress is called from the loop when there is more room, and
 * when writing has failed: stream_sink_get_error(). */
int stream_sink_new(sd_event *event,
                    int fd,
                    void (*on_progress)(void *userdata),
                    void *userdata,
                    StreamSink **ret_sink);
StreamSink *stream_sink_free(StreamSink *sink);
DEFINE_CLEANUP(StreamSink, stream_sink_free);

/* How much stream_sink_write() takes. One that has failed takes, and drops, anything. */
size_t stream_sink_get_room(const StreamSink *sink);
void stream_sink_write(StreamSink *sink, const void *bytes, size_t size);

/* Whether all is written, or never will be. */
bool stream_sink_is_empty(const StreamSink *sink);

/* 0, or why writing has failed. */
int stream_sink_get_error(const StreamSink *sink);
