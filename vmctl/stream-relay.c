/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/stream-relay.h"

#include <errno.h>
#include <stdlib.h>

#include "vmctl/stream-sink.h"
#include "vmctl/stream-source.h"

struct StreamRelay {
    const StreamRelayHandlers *handlers;
    void *userdata;
    StreamSource *source;
    StreamSink *sink;
    bool ended; /* the source, or what is taken of it */
    bool done;
    int error;
};

static void update(StreamRelay *relay)
{
    int sink_error = stream_sink_get_error(relay->sink);

    if (relay->done)
        return;
    if (relay->error == 0)
        relay->error = sink_error;
    if (sink_error < 0 || (relay->ended && stream_sink_is_empty(relay->sink))) {
        relay->done = true;
        stream_source_set_enabled(relay->source, false);
        relay->handlers->on_done(relay->userdata);
        return;
    }
    stream_source_set_enabled(relay->source, !relay->ended && stream_sink_get_room(relay->sink) >=
                                                                  STREAM_SOURCE_READ_MAX);
}

static void on_data(void *userdata, const uint8_t *bytes, size_t size)
{
    StreamRelay *relay = userdata;
    const StreamRelayHandlers *handlers = relay->handlers;
    size_t passed = handlers->inspect ? handlers->inspect(relay->userdata, bytes, size) : size;

    relay->ended = passed < size;
    stream_sink_write(relay->sink, bytes, passed);
    update(relay);
}

static void on_end(void *userdata, int error)
{
    StreamRelay *relay = userdata;

    relay->ended = true;
    relay->error = error;
    update(relay);
}

static void on_progress(void *userdata)
{
    update(userdata);
}

int stream_relay_new(sd_event *event,
                     int source_fd,
                     int destination_fd,
                     const StreamRelayHandlers *handlers,
                     void *userdata,
                     StreamRelay **ret_relay)
{
    static const StreamSourceHandlers source_handlers = { .on_data = on_data, .on_end = on_end };
    _cleanup_(stream_relay_freep) StreamRelay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return -ENOMEM;

    relay->handlers = handlers;
    relay->userdata = userdata;
    int r = stream_sink_new(event, destination_fd, on_progress, relay, &relay->sink);
    if (r >= 0)
        r = stream_source_new(event, source_fd, &source_handlers, relay, &relay->source);
    if (r < 0)
        return r;

    *ret_relay = TAKE_PTR(relay);
    return 0;
}

StreamRelay *stream_relay_free(StreamRelay *relay)
{
    if (!relay)
        return NULL;
    stream_source_free(relay->source);
    stream_sink_free(relay->sink);
    free(relay);
    return NULL;
}

bool stream_relay_is_done(const StreamRelay *relay)
{
    return relay->done;
}

int stream_relay_get_error(const StreamRelay *relay)
{
    return relay->error;
}
