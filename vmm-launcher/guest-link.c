/* SPDX-License-Identifier: Apache-2.0 */
/* A connection is read into a buffer until the NUL of its call; then it is answered and closed, or
 * becomes a subscription (we write, the guest is silent) or a stream (raw bytes to an output). A
 * stream whose reader is behind is not read, so that vsock's own flow control holds the payload
 * back; but only for a while without progress: a client that stopped reading must not stop a
 * guest. */
#include "vmm-launcher/guest-link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/log.h"

#define READ_SIZE           4096
#define STREAM_READ_SIZE    16384
#define DRAIN_READS_MAX     64 /* more than a socket's buffer has */
#define STALLED_READER_USEC (2 * UINT64_C(1000000))
#define CALL_TIMEOUT_USEC   (GUEST_LINK_CALL_TIMEOUT_SEC * UINT64_C(1000000))

typedef enum ConnectionRole {
    ROLE_CALLER, /* its call has not arrived whole */
    ROLE_SUBSCRIBER,
    ROLE_STREAM,
    ROLE_NOTIFIER, /* until end of file */
} ConnectionRole;

typedef struct Connection {
    LIST_ENTRY(Connection) entry;
    GuestLink *link;
    int fd;
    ConnectionRole role;
    sd_event_source *io;
    sd_event_source *timer; /* caller: its deadline; stream: the reader's, while it is behind */
    char *frame;
    size_t frame_size;
    Output *output; /* of a stream; not owned; NULL: thrown away */
} Connection;

struct GuestLink {
    sd_event *event;
    const GuestLinkHandlers *handlers;
    void *userdata;
    LIST_HEAD(, Connection) connections;
    size_t n_connections;
};

static Connection *connection_free(Connection *connection)
{
    if (!connection)
        return NULL;

    LIST_REMOVE(connection, entry);
    connection->link->n_connections--;
    if (connection->output)
        output_set_drained_handler(connection->output, NULL, NULL);
    sd_event_source_disable_unref(connection->io);
    sd_event_source_disable_unref(connection->timer);
    (void)fd_close(connection->fd);
    free(connection->frame);
    free(connection);
    return NULL;
}

/* A reply fits an empty socket buffer; a guest that does not read loses it. */
static void send_reply(int fd, const GuestReply *reply)
{
    char frame[1024];
    int size = guest_reply_encode(reply, frame, sizeof(frame));

    if (size > 0)
        (void)send(fd, frame, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_error(int fd, const char *name, const char *sentence)
{
    GuestReply reply = { 0 };

    (void)snprintf(reply.error_name, sizeof(reply.error_name), GUEST_LINK_INTERFACE ".%s", name);
    (void)snprintf(reply.error_message, sizeof(reply.error_message), "%s", sentence);
    log_debug("guest link: %s: %s", name, sentence);
    send_reply(fd, &reply);
}

/* --- streams --- */

static void stream_pause(Connection *connection);

/* Reads once. Whether it is still there and had something; else it may be gone. */
static bool stream_read(Connection *connection)
{
    char bytes[STREAM_READ_SIZE];

    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        connection_free(connection);
        return false;
    }
    if (connection->output) {
        output_write(connection->output, bytes, (size_t)n);
        if (output_is_behind(connection->output) && !connection->timer)
            stream_pause(connection);
    }
    return true;
}

static void on_reader_drained(void *userdata)
{
    Connection *connection = userdata;

    connection->timer = sd_event_source_disable_unref(connection->timer);
    (void)sd_event_source_set_enabled(connection->io, SD_EVENT_ON);
}

static int on_reader_stalled(sd_event_source *source, uint64_t usec, void *userdata)
{
    Connection *connection = userdata;

    (void)source;
    (void)usec;
    /* The timer stays: while it is there the stream is not paused again, and what the reader does
     * not take is dropped. on_reader_drained() ends that. */
    (void)sd_event_source_set_enabled(connection->io, SD_EVENT_ON);
    return 0;
}

static void stream_pause(Connection *connection)
{
    if (sd_event_add_time_relative(connection->link->event, &connection->timer, CLOCK_MONOTONIC,
                                   STALLED_READER_USEC, 0, on_reader_stalled, connection) < 0)
        return; /* without the timer the stream goes on, and drops */
    (void)sd_event_source_set_description(connection->timer, "stalled-reader");
    (void)sd_event_source_set_enabled(connection->io, SD_EVENT_OFF);
    output_set_drained_handler(connection->output, on_reader_drained, connection);
}

/* --- calls --- */

/* An output has one stream at a time. */
static Connection *find_stream_to(GuestLink *link, const Output *output)
{
    Connection *connection;

    LIST_FOREACH(connection, &link->connections, entry)
    {
        if (connection->role == ROLE_STREAM && connection->output == output)
            return connection;
    }
    return NULL;
}

static void on_open_stream(Connection *connection, const char *name)
{
    GuestLink *link = connection->link;
    Output *output = NULL;

    if (link->handlers->find_stream(link->userdata, name, &output) < 0) {
        send_error(connection->fd, "NoSuchStream", name);
        connection_free(connection);
        return;
    }
    if (output && find_stream_to(link, output)) {
        send_error(connection->fd, "StreamBusy", name);
        connection_free(connection);
        return;
    }
    connection->role = ROLE_STREAM;
    connection->output = output;
    send_reply(connection->fd, &(GuestReply){ 0 });
}

/* Answers the call; afterwards the connection may be gone. */
static void on_call(Connection *connection, const GuestCall *call)
{
    GuestLink *link = connection->link;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    connection->timer = sd_event_source_disable_unref(connection->timer);
    if (call->type == GUEST_CALL_SUBSCRIBE) {
        connection->role = ROLE_SUBSCRIBER;
        return;
    }
    if (call->type == GUEST_CALL_OPEN_STREAM) {
        on_open_stream(connection, call->stream_name);
        return;
    }
    if (link->handlers->report(link->userdata, call, &error) < 0)
        send_error(connection->fd, "InvalidState", error_get_message(&error));
    else
        send_reply(connection->fd, &(GuestReply){ 0 });
    connection_free(connection);
}

static void on_frame(Connection *connection, size_t size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    GuestCall call;

    int r = guest_call_decode(connection->frame, size, &call, &error);
    /* A call has its connection to itself, and a stream begins after the reply. */
    if (r >= 0 && connection->frame_size != size + 1)
        r = error_set(&error, ERROR_INVALID_ARGUMENT, "bytes after the call");
    if (r < 0) {
        send_error(connection->fd, "InvalidCall", error_get_message(&error));
        connection_free(connection);
        return;
    }

    free(connection->frame);
    connection->frame = NULL;
    connection->frame_size = 0;
    on_call(connection, &call);
}

/* Reads once. How many bytes came, which are behind the frame then; 0 at the end; -EAGAIN when
 * there are none now, and else the connection is of no use. */
static ssize_t frame_read(Connection *connection)
{
    char bytes[READ_SIZE];

    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n <= 0)
        return n == 0 ? 0 : errno == EINTR ? -EAGAIN : -errno;
    char *frame = realloc(connection->frame, connection->frame_size + (size_t)n);
    if (!frame)
        return -ENOMEM;
    memcpy(frame + connection->frame_size, bytes, (size_t)n);
    connection->frame = frame;
    connection->frame_size += (size_t)n;
    return n;
}

/* The connection may be gone then. */
static void caller_read(Connection *connection)
{
    ssize_t n = frame_read(connection);
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        connection_free(connection);
        return;
    }

    const char *frame = connection->frame;
    const char *end = memchr(frame, '\0', connection->frame_size);
    if (end && (size_t)(end - frame) <= GUEST_FRAME_SIZE_MAX) {
        on_frame(connection, (size_t)(end - frame));
    } else if (end || connection->frame_size > GUEST_FRAME_SIZE_MAX) {
        send_error(connection->fd, "FrameTooLarge", "a call has at most 16384 bytes");
        connection_free(connection);
    }
}

/* What has come when the guest closes its end is the message; it is not answered, nor is what is
 * none.
 */
static void notifier_read(Connection *connection)
{
    GuestLink *link = connection->link;
    NotifyMessage message;

    ssize_t n = frame_read(connection);
    if (n == -EAGAIN || (n > 0 && connection->frame_size <= NOTIFY_MESSAGE_MAX))
        return;
    if (n == 0 && connection->frame &&
        notify_message_decode(connection->frame, connection->frame_size, &message) >= 0)
        link->handlers->notify(link->userdata, &message);
    else
        log_debug("guest link: %zu bytes that are no message of systemd's", connection->frame_size);
    connection_free(connection);
}

/* A subscriber has nothing to say: end of file, or out of the protocol. */
static void subscriber_read(Connection *connection)
{
    char byte;

    ssize_t n = recv(connection->fd, &byte, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    connection_free(connection);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Connection *connection = userdata;

    (void)source;
    (void)fd;
    (void)revents;
    switch (connection->role) {
    case ROLE_CALLER:
        caller_read(connection);
        break;
    case ROLE_SUBSCRIBER:
        subscriber_read(connection);
        break;
    case ROLE_STREAM:
        (void)stream_read(connection);
        break;
    case ROLE_NOTIFIER:
        notifier_read(connection);
        break;
    }
    return 0;
}

static int on_call_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Connection *connection = userdata;

    (void)source;
    (void)usec;
    if (connection->role == ROLE_CALLER)
        send_error(connection->fd, "TimedOut", "the call did not arrive in time");
    connection_free(connection);
    return 0;
}

/* --- the link --- */

int guest_link_new(sd_event *event,
                   const GuestLinkHandlers *handlers,
                   void *userdata,
                   GuestLink **ret_link)
{
    GuestLink *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;

    link->event = sd_event_ref(event);
    link->handlers = handlers;
    link->userdata = userdata;
    LIST_INIT(&link->connections);
    *ret_link = link;
    return 0;
}

GuestLink *guest_link_free(GuestLink *link)
{
    if (!link)
        return NULL;

    while (!LIST_EMPTY(&link->connections))
        connection_free(LIST_FIRST(&link->connections));
    sd_event_unref(link->event);
    free(link);
    return NULL;
}

static void accept_as(GuestLink *link, int fd, ConnectionRole role)
{
    Connection *connection = NULL;

    if (link->n_connections < GUEST_LINK_CONNECTIONS_MAX)
        connection = calloc(1, sizeof(*connection));
    if (!connection) {
        (void)fd_close(fd);
        return;
    }

    connection->link = link;
    connection->fd = fd;
    connection->role = role;
    LIST_INSERT_HEAD(&link->connections, connection, entry);
    link->n_connections++;
    if (sd_event_add_io(link->event, &connection->io, fd, EPOLLIN, on_io, connection) < 0 ||
        sd_event_add_time_relative(link->event, &connection->timer, CLOCK_MONOTONIC,
                                   CALL_TIMEOUT_USEC, 0, on_call_timeout, connection) < 0) {
        connection_free(connection);
        return;
    }
    (void)sd_event_source_set_description(connection->io, "guest-call");
    (void)sd_event_source_set_description(connection->timer, "guest-call-timeout");
}

void guest_link_accept(GuestLink *link, int fd)
{
    if (link->n_connections == GUEST_LINK_CONNECTIONS_MAX)
        send_error(fd, "TooManyConnections", "16 connections are open");
    accept_as(link, fd, ROLE_CALLER);
}

void guest_link_accept_notifier(GuestLink *link, int fd)
{
    accept_as(link, fd, ROLE_NOTIFIER);
}

size_t guest_link_send_command(GuestLink *link, GuestCommand command)
{
    const GuestReply reply = { .continues = true, .command = command };
    Connection *connection;
    size_t n_subscribers = 0;

    LIST_FOREACH(connection, &link->connections, entry)
    {
        if (connection->role == ROLE_SUBSCRIBER) {
            send_reply(connection->fd, &reply);
            n_subscribers++;
        }
    }
    return n_subscribers;
}

void guest_link_drain(GuestLink *link, const Output *output)
{
    Connection *connection = find_stream_to(link, output);

    for (int i = 0; connection && i < DRAIN_READS_MAX; i++) {
        if (!stream_read(connection))
            break;
    }
}

bool guest_link_has_streams(const GuestLink *link)
{
    const Connection *connection;

    LIST_FOREACH(connection, &link->connections, entry)
    {
        if (connection->role == ROLE_STREAM)
            return true;
    }
    return false;
}
