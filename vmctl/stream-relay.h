/* SPDX-License-Identifier: Apache-2.0 */
/* Copies what one descriptor brings to another one, which decides how fast: behind one that takes
 * nothing, nothing is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

typedef struct StreamRelay StreamRelay;

typedef struct StreamRelayHandlers {
    /* How many of the bytes are passed on: fewer than @size is the end of the relay. NULL: all. */
    size_t (*inspect)(void *userdata, const uint8_t *bytes, size_t size);
    /* Once, when all is written or stream_relay_get_error() is set. */
    void (*on_done)(void *userdata);
} StreamRelayHandlers;

/* The descriptors stay the caller's, and those of stream-source.h and stream-sink.h. */
int stream_relay_new(sd_event *event,
                     int source_fd,
                     int destination_fd,
                     const StreamRelayHandlers *handlers,
                     void *userdata,
                     StreamRelay **ret_relay);
StreamRelay *stream_relay_free(StreamRelay *relay);
DEFINE_CLEANUP(StreamRelay, stream_relay_free);

bool stream_relay_is_done(const StreamRelay *relay);

/* 0, or why copying ended early. */
int stream_relay_get_error(const StreamRelay *relay);
