/* SPDX-License-Identifier: Apache-2.0 */
/* Where write() could block, each one follows epoll's word that there is room and is at most
 * PIPE_BUF long, which a writable pipe takes whole. */
#include "vmctl/stream-sink.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct StreamSink {
    int fd;
    bool is_socket;
    void (*on_progress)(void *userdata);
    void *userdata;
    sd_event_source *event_source; /* NULL: a regular file, which takes everything at once */
    char *queue;                   /* STREAM_SINK_CAPACITY bytes, used from start to end */
    size_t start, end;
    int error;
};

/* Writes one piece. 1: it did; 0: not now. */
static int write_some(StreamSink *sink)
{
    const char *bytes = sink->queue + sink->start;
    size_t size = sink->end - sink->start;

    ssize_t n = sink->is_socket ? send(sink->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : write(sink->fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    sink->start += (size_t)n;
    if (sink->start == sink->end)
        sink->start = sink->end = 0;
    return 1;
}

static void fail(StreamSink *sink, int error)
{
    sink->error = error;
    sink->start = sink->end = 0;
}

static void update(StreamSink *sink)
{
    if (sink->event_source) /* cannot fail on a live source */
        (void)sd_event_source_set_enabled(sink->event_source,
                                          sink->end > sink->start ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_writable(sd_event_source *event_source, int fd, uint32_t revents, void *userdata)
{
    StreamSink *sink = userdata;

    (void)event_source;
    (void)fd;
    (void)revents; /* an error shows in write() */
    int r = write_some(sink);
    if (r < 0)
        fail(sink, r);
    update(sink);
    sink->on_progress(sink->userdata);
    return 0;
}

int stream_sink_new(sd_event *event,
                    int fd,
                    void (*on_progress)(void *userdata),
                    void *userdata,
                    StreamSink **ret_sink)
{
    struct stat status;
    _cleanup_(stream_sink_freep) StreamSink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return -ENOMEM;

    sink->fd = fd;
    sink->on_progress = on_progress;
    sink->userdata = userdata;
    sink->queue = malloc(STREAM_SINK_CAPACITY);
    if (!sink->queue)
        return -ENOMEM;
    if (fstat(fd, &status) < 0)
        return -errno;
    sink->is_socket = S_ISSOCK(status.st_mode);
    int r = sd_event_add_io(event, &sink->event_source, fd, EPOLLOUT, on_writable, sink);
    if (r < 0 && r != -EPERM)
        return r;
    if (sink->event_source)
        (void)sd_event_source_set_description(sink->event_source, "stream-sink");
    update(sink);

    *ret_sink = TAKE_PTR(sink);
    return 0;
}

StreamSink *stream_sink_free(StreamSink *sink)
{
    if (!sink)
        return NULL;
    sd_event_source_disable_unref(sink->event_source);
    free(sink->queue);
    free(sink);
    return NULL;
}

size_t stream_sink_get_room(const StreamSink *sink)
{
    return STREAM_SINK_CAPACITY - (sink->end - sink->start);
}

static void make_room(StreamSink *sink, size_t size)
{
    if (STREAM_SINK_CAPACITY - sink->end >= size)
        return;
    memmove(sink->queue, sink->queue + sink->start, sink->end - sink->start);
    sink->end -= sink->start;
    sink->start = 0;
}

void stream_sink_write(StreamSink *sink, const void *bytes, size_t size)
{
    int r = 0;

    if (sink->error < 0 || size == 0)
        return;
    assert(size <= stream_sink_get_room(sink));
    make_room(sink, size);
    memcpy(sink->queue + sink->end, bytes, size);
    sink->end += size;
    /* A socket may take it at once; a file always does. */
    if (sink->is_socket && sink->end - sink->start == size)
        r = write_some(sink);
    while (r >= 0 && !sink->event_source && sink->end > sink->start)
        r = write_some(sink);
    if (r < 0)
        fail(sink, r);
    update(sink);
}

bool stream_sink_is_empty(const StreamSink *sink)
{
    return sink->end == sink->start;
}

int stream_sink_get_error(const StreamSink *sink)
{
    return sink->error;
}
