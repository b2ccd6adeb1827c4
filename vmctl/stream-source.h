/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a descriptor on the event loop: a socket, a pipe, a terminal or a file. It may be shared
 * with other programs, a terminal with the shell, so it is not made non-blocking: a read follows
 * epoll's word that there is something. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

/* The most that on_data() is given at a time. */
#define STREAM_SOURCE_READ_MAX 65536

typedef struct StreamSource StreamSource;

typedef struct StreamSourceHandlers {
    void (*on_data)(void *userdata, const uint8_t *bytes, size_t size);
    /* Once, and nothing after it: @error is 0 at the end, or a negative errno. */
    void (*on_end)(void *userdata, int error);
} StreamSourceHandlers;

/* Starts to read @fd, which stays the caller's and outlives the source, as @handlers do. No other
 * source or sink on the loop has the same descriptor: use a duplicate. */
int stream_source_new(sd_event *event,
                      int fd,
                      const StreamSourceHandlers *handlers,
                      void *userdata,
                      StreamSource **ret_source);
StreamSource *stream_source_free(StreamSource *source);
DEFINE_CLEANUP(StreamSource, stream_source_free);

/* Nothing is read while it is not enabled. */
void stream_source_set_enabled(StreamSource *source, bool enabled);
