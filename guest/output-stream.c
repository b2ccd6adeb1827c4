/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/output-stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

void output_stream_init(OutputStream *stream)
{
    stream->fd = -EBADF;
    stream->gone = false;
    stream->start = stream->size = 0;
}

void output_stream_deinit(OutputStream *stream)
{
    stream->fd = fd_close(stream->fd);
}

static void output_stream_give_up(OutputStream *stream)
{
    stream->fd = fd_close(stream->fd);
    stream->gone = true;
    stream->size = 0;
}

void output_stream_take_fd(OutputStream *stream, int fd)
{
    if (fd < 0) {
        output_stream_give_up(stream);
        return;
    }
    (void)fd_close(stream->fd);
    stream->fd = fd;
}

/* The free room behind the pending bytes, made one piece. */
static size_t output_stream_make_room(OutputStream *stream)
{
    if (stream->start > 0) {
        memmove(stream->buffer, stream->buffer + stream->start, stream->size);
        stream->start = 0;
    }
    return sizeof(stream->buffer) - stream->size;
}

bool output_stream_has_room(const OutputStream *stream)
{
    return stream->size < sizeof(stream->buffer);
}

bool output_stream_has_pending(const OutputStream *stream)
{
    return stream->fd >= 0 && stream->size > 0;
}

int output_stream_append(OutputStream *stream, const void *data, size_t size)
{
    if (stream->gone)
        return 0;
    if (size > output_stream_make_room(stream))
        return -ENOBUFS;

    memcpy(stream->buffer + stream->size, data, size);
    stream->size += size;
    return 0;
}

int output_stream_read_from(OutputStream *stream, int source)
{
    size_t room = output_stream_make_room(stream);

    ssize_t n = read(source, stream->buffer + stream->size, room);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    if (!stream->gone)
        stream->size += (size_t)n;
    return n > 0 || room == 0;
}

void output_stream_flush(OutputStream *stream)
{
    while (output_stream_has_pending(stream)) {
        ssize_t n = send(stream->fd, stream->buffer + stream->start, stream->size, MSG_NOSIGNAL);
        if (n >= 0) {
            stream->start += (size_t)n;
            stream->size -= (size_t)n;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            output_stream_give_up(stream);
        }
    }
    stream->start = 0;
}

int output_stream_finish(OutputStream *stream, Deadline deadline)
{
    char ignored[256];

    output_stream_flush(stream);
    while (output_stream_has_pending(stream)) {
        int r = deadline_wait_for_fd(deadline, stream->fd, POLLOUT);
        if (r < 0)
            return r;
        output_stream_flush(stream);
    }
    if (stream->fd < 0 || shutdown(stream->fd, SHUT_WR) < 0)
        return -ECONNRESET;

    for (;;) {
        ssize_t n = read(stream->fd, ignored, sizeof(ignored));
        if (n == 0)
            break;
        if (n < 0 && errno == EAGAIN) {
            int r = deadline_wait_for_fd(deadline, stream->fd, POLLIN);
            if (r < 0)
                return r;
        } else if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
    stream->fd = fd_close(stream->fd);
    return 0;
}
