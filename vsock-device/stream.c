/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "vhost-user/virtqueue.h"
#include "vsock-device/io-vector.h"

Stream *stream_new(void)
{
    Stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;

    stream->fd = -EBADF;
    stream->deadline_usec = STREAM_NO_DEADLINE;
    return stream;
}

Stream *stream_free(Stream *stream)
{
    if (stream) {
        stream_close_host(stream);
        free(stream);
    }
    return NULL;
}

int stream_take_fd(Stream *stream, int fd, sd_event *event, sd_event_io_handler_t on_event)
{
    stream->fd = fd;
    /* Edges: registered once, and a peer that does not read costs nothing. Registering reports what
     * is there already. */
    return sd_event_add_io(event, &stream->source, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                           on_event, stream);
}

void stream_close_host(Stream *stream)
{
    stream->source = sd_event_source_disable_unref(stream->source);
    stream->fd = fd_close(stream->fd);
    stream->is_readable = false;
    stream_buffer_deinit(&stream->to_host);
}

/* The host's side takes nothing more: what it did not take is gone, and must not hold up the
 * guest's credit or the end of the connection. */
static void give_up_writing(Stream *stream)
{
    stream_buffer_deinit(&stream->to_host);
    vsock_connection_end_host(&stream->connection, VSOCK_SHUTDOWN_RECEIVE);
    vsock_connection_forward(&stream->connection,
                             vsock_connection_count_buffered(&stream->connection));
}

void stream_on_poll(Stream *stream, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        stream->is_readable = true;
    /* A half-close is EPOLLRDHUP alone. After a hang-up the peer may have left bytes to be read,
     * but every write would be an EPIPE. */
    if (events & EPOLLHUP) {
        stream->is_hung_up = true;
        give_up_writing(stream);
    }
}

/* Writes what the socket takes; 0 when it is full, -EPIPE when it takes no more at all. */
static ssize_t write_parts(int fd, struct iovec *parts, size_t n_parts)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
    ssize_t n;

    do
        n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? 0 : -EPIPE;
}

int stream_deliver(Stream *stream, const struct iovec *parts, size_t n_parts)
{
    struct iovec rest[VIRTQUEUE_CHAIN_MAX];
    size_t size = 0, written = 0;

    for (size_t i = 0; i < n_parts; i++)
        size += parts[i].iov_len;
    if (stream->fd < 0 || stream->connection.host_shutdown & VSOCK_SHUTDOWN_RECEIVE) {
        vsock_connection_forward(&stream->connection, (uint32_t)size);
        return 0;
    }

    if (stream->to_host.size == 0) {
        size_t n_rest = io_vector_slice(parts, n_parts, 0, size, rest);
        ssize_t n = write_parts(stream->fd, rest, n_rest);
        if (n < 0) {
            give_up_writing(stream);
            return 0;
        }
        written = (size_t)n;
        vsock_connection_forward(&stream->connection, (uint32_t)written);
        if (written == size)
            return 0;
    }

    size_t n_rest = io_vector_slice(parts, n_parts, written, size - written, rest);
    return stream_buffer_append(&stream->to_host, rest, n_rest);
}

void stream_flush(Stream *stream)
{
    struct iovec parts[2];
    size_t n_parts;

    while ((n_parts = stream_buffer_get_parts(&stream->to_host, parts)) > 0) {
        ssize_t n = write_parts(stream->fd, parts, n_parts);
        if (n == 0)
            return;
        if (n < 0) {
            give_up_writing(stream);
            return;
        }
        stream_buffer_consume(&stream->to_host, (size_t)n);
        vsock_connection_forward(&stream->connection, (uint32_t)n);
    }
}

/* shutdown() fails only when the peer is gone, of which epoll tells. */
void stream_pass_on_shutdown(Stream *stream)
{
    const VsockConnection *connection = &stream->connection;

    if (stream->fd < 0)
        return;

    if (connection->guest_shutdown & VSOCK_SHUTDOWN_SEND && !stream->has_shut_write &&
        stream->to_host.size == 0) {
        stream->has_shut_write = true;
        (void)shutdown(stream->fd, SHUT_WR);
    }
    if (connection->guest_shutdown & VSOCK_SHUTDOWN_RECEIVE && !stream->has_shut_read) {
        stream->has_shut_read = true;
        (void)shutdown(stream->fd, SHUT_RD);
    }
}

size_t stream_read(Stream *stream, struct iovec *parts, size_t n_parts)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
    ssize_t n;

    /* Descriptors that the host's side sends along have nowhere to go: without room for them the
     * kernel drops them. */
    do
        n = recvmsg(stream->fd, &message, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return (size_t)n;

    stream->is_readable = false;
    if (n == 0)
        vsock_connection_end_host(&stream->connection, VSOCK_SHUTDOWN_SEND);
    else if (errno != EAGAIN)
        vsock_connection_end_host(&stream->connection, VSOCK_SHUTDOWN_BOTH);
    return 0;
}
