/* SPDX-License-Identifier: Apache-2.0 */
/* Each direction ends by itself, and its end is passed on: a client that has said all gets its
 * answer. What the guest has closed altogether is not waited for any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/stream-relay.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-stream.h"

typedef struct Connection {
    sd_event *event;
    int stream_fd, writing_fd, watched_fd; /* of one socket */
    StreamRelay *up, *down;                /* to the guest, and from it */
    bool hung_up;                          /* by the guest, in both directions */
} Connection;

static void connection_deinit(Connection *connection)
{
    stream_relay_free(connection->up);
    stream_relay_free(connection->down);
    (void)fd_close(connection->stream_fd);
    (void)fd_close(connection->writing_fd);
    (void)fd_close(connection->watched_fd);
    sd_event_unref(connection->event);
}

static void end_if_complete(Connection *connection)
{
    if (stream_relay_is_done(connection->down) &&
        (stream_relay_is_done(connection->up) || connection->hung_up))
        (void)sd_event_exit(connection->event, 0); /* cannot fail on a live loop */
}

static void on_up_done(void *userdata)
{
    Connection *connection = userdata;

    (void)shutdown(connection->stream_fd, SHUT_WR); /* fails once the guest has hung up */
    end_if_complete(connection);
}

/* Lets go of standard output, so that its reader sees the end. */
static void close_output(void)
{
    _cleanup_close_ int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)shutdown(STDOUT_FILENO, SHUT_WR); /* another copy of a socket may be stdin */
    if (null_fd >= 0)
        (void)dup2(null_fd, STDOUT_FILENO);
}

static void on_down_done(void *userdata)
{
    Connection *connection = userdata;

    close_output();
    end_if_complete(connection);
}

static int on_hung_up(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Connection *connection = userdata;

    (void)fd;
    (void)revents;
    (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* it stays so */
    connection->hung_up = true;
    end_if_complete(connection);
    return 0;
}

static int set_up(Connection *connection)
{
    static const StreamRelayHandlers up = { .on_done = on_up_done };
    static const StreamRelayHandlers down = { .on_done = on_down_done };

    connection->writing_fd = fcntl(connection->stream_fd, F_DUPFD_CLOEXEC, 0);
    connection->watched_fd = fcntl(connection->stream_fd, F_DUPFD_CLOEXEC, 0);
    if (connection->writing_fd < 0 || connection->watched_fd < 0)
        return -errno;
    int r = sd_event_new(&connection->event);
    if (r >= 0)
        r = sd_event_add_io(connection->event, NULL, connection->watched_fd, 0, on_hung_up,
                            connection);
    if (r >= 0)
        r = stream_relay_new(connection->event, STDIN_FILENO, connection->writing_fd, &up,
                             connection, &connection->up);
    if (r >= 0)
        r = stream_relay_new(connection->event, connection->stream_fd, STDOUT_FILENO, &down,
                             connection, &connection->down);
    return r;
}

static int copy(Connection *connection, Error *error)
{
    int r = set_up(connection);

    if (r >= 0)
        r = sd_event_loop(connection->event);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy the stream");
    r = stream_relay_get_error(connection->down);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy to standard output");
    r = stream_relay_get_error(connection->up);
    /* A guest that has closed its end needs no more of what is there. */
    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy standard input");
    return 0;
}

int verb_connect(const Options *options)
{
    _cleanup_(connection_deinit)
        Connection connection = { .stream_fd = -EBADF, .writing_fd = -EBADF, .watched_fd = -EBADF };
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const char *port_text = options->arguments[1];
    uint64_t port;

    int r = text_parse_u64(port_text, UINT32_MAX, &port);
    if (r < 0)
        r = error_set(&error, ERROR_INVALID_ARGUMENT, "'%s' is no port: a number from 1024 to %u",
                      port_text, UINT32_MAX);
    if (r >= 0)
        r = vm_stream_connect(options, options->arguments[0], (uint32_t)port, &connection.stream_fd,
                              &error);
    if (r >= 0)
        r = copy(&connection, &error);
    if (r < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
