/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/stream-source.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct StreamSource {
    int fd;
    const StreamSourceHandlers *handlers;
    void *userdata;
    sd_event_source *event_source;
    bool ended;
};

static void source_end(StreamSource *source, int error)
{
    source->ended = true;
    (void)sd_event_source_set_enabled(source->event_source, SD_EVENT_OFF);
    source->handlers->on_end(source->userdata, error);
}

static void source_read(StreamSource *source)
{
    uint8_t bytes[STREAM_SOURCE_READ_MAX];

    ssize_t n = read(source->fd, bytes, sizeof(bytes));
    if (n > 0)
        source->handlers->on_data(source->userdata, bytes, (size_t)n);
    else if (n == 0)
        source_end(source, 0);
    else if (errno != EAGAIN && errno != EINTR)
        source_end(source, -errno);
}

static int on_readable(sd_event_source *event_source, int fd, uint32_t revents, void *userdata)
{
    (void)event_source;
    (void)fd;
    (void)revents; /* the end shows in read() */
    source_read(userdata);
    return 0;
}

static int on_turn(sd_event_source *event_source, void *userdata)
{
    (void)event_source;
    source_read(userdata);
    return 0;
}

int stream_source_new(sd_event *event,
                      int fd,
                      const StreamSourceHandlers *handlers,
                      void *userdata,
                      StreamSource **ret_source)
{
    _cleanup_(stream_source_freep) StreamSource *source = calloc(1, sizeof(*source));
    if (!source)
        return -ENOMEM;

    source->fd = fd;
    source->handlers = handlers;
    source->userdata = userdata;
    int r = sd_event_add_io(event, &source->event_source, fd, EPOLLIN, on_readable, source);
    if (r == -EPERM) { /* a regular file, which can always be read */
        r = sd_event_add_defer(event, &source->event_source, on_turn, source);
        if (r >= 0)
            r = sd_event_source_set_enabled(source->event_source, SD_EVENT_ON);
    }
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(source->event_source, "stream-source");

    *ret_source = TAKE_PTR(source);
    return 0;
}

StreamSource *stream_source_free(StreamSource *source)
{
    if (!source)
        return NULL;
    sd_event_source_disable_unref(source->event_source);
    free(source);
    return NULL;
}

void stream_source_set_enabled(StreamSource *source, bool enabled)
{
    if (!source->ended) /* cannot fail on a live source */
        (void)sd_event_source_set_enabled(source->event_source,
                                          enabled ? SD_EVENT_ON : SD_EVENT_OFF);
}
