/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon at a time: only its user can reach the socket, and a lock keeps a second one away, so
 * whoever connects is a successor. Events go out from the history, behind a mark of what was sent:
 * a daemon that reads slowly gets them later, and one that comes back gets all that are kept. */
#include "vmm-launcher/daemon-link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log.h"
#include "protocol/event-history.h"

/* The daemon numbers the creation; the supervisor goes on. */
#define FIRST_EVENT_NUMBER 2

struct DaemonLink {
    sd_event *event;
    int64_t priority;
    int connection;
    int listener;
    sd_event_source *connection_io, *listener_io;
    const DaemonLinkHandlers *handlers;
    void *userdata;
    EventHistory history;
    uint64_t next_number;
    uint64_t sent;         /* to the daemon that is there */
    uint64_t acknowledged; /* by any */
    bool adopting;         /* it has not asked yet: nothing but HELLO is for it */
};

static void link_lose(DaemonLink *link)
{
    if (link->connection < 0)
        return;
    link->connection_io = sd_event_source_disable_unref(link->connection_io);
    link->connection = fd_close(link->connection);
    link->handlers->lost(link->userdata);
}

static int link_send(DaemonLink *link, const SupervisorMessage *message)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(message, bytes);

    return fd_message_send(link->connection, bytes, size, NULL, 0);
}

/* Sends what is kept and was not sent, as far as the socket takes it. */
static void link_send_events(DaemonLink *link)
{
    const EventHistoryEntry *entry;

    if (link->connection < 0 || link->adopting)
        return;
    while ((entry = event_history_find_after(&link->history, link->sent))) {
        int r = fd_message_send(link->connection, entry->bytes, entry->size, NULL, 0);
        if (r < 0 && r != -EAGAIN)
            log_debug("cannot tell the daemon: %s", strerror(-r)); /* its end will be noticed */
        if (r < 0)
            break;
        link->sent = entry->number;
    }
    (void)sd_event_source_set_io_events(link->connection_io, entry ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void on_adopt(DaemonLink *link)
{
    SupervisorMessage message = { .type = SUPERVISOR_STATE,
                                  .event_number = link->next_number - 1,
                                  .acknowledged = link->acknowledged };

    link->handlers->describe(link->userdata, &message);
    if (link_send(link, &message) < 0) {
        link_lose(link);
        return;
    }
    link->adopting = false;
    link->sent = 0;
    link_send_events(link);
}

static void on_acknowledge(DaemonLink *link, uint64_t number)
{
    if (number > link->acknowledged && number < link->next_number)
        link->acknowledged = number;
}

/* Whether the daemon is still there. */
static bool link_receive(DaemonLink *link)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage message;
    _cleanup_close_ int fd = -EBADF;
    size_t size, n_fds;

    int r = fd_message_receive(link->connection, bytes, sizeof(bytes), &size, &fd, 1, &n_fds);
    if (r == -EAGAIN)
        return true;
    if (r < 0 || size == 0 || supervisor_message_decode(bytes, size, &message) < 0)
        return false;

    if (message.type == SUPERVISOR_ACKNOWLEDGE)
        on_acknowledge(link, message.event_number);
    else if (message.type == SUPERVISOR_ADOPT)
        on_adopt(link);
    else if (!link->adopting)
        link->handlers->request(link->userdata, &message, &fd);
    return true;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    DaemonLink *link = userdata;

    (void)source;
    (void)fd;
    if (revents & EPOLLOUT)
        link_send_events(link);
    if ((revents & ~(uint32_t)EPOLLOUT) && link->connection >= 0 && !link_receive(link))
        link_lose(link);
    return 0;
}

static int link_attach(DaemonLink *link, int connection)
{
    int r = sd_event_add_io(link->event, &link->connection_io, connection, EPOLLIN, on_connection,
                            link);
    if (r < 0)
        return r;

    (void)sd_event_source_set_priority(link->connection_io, link->priority);
    (void)sd_event_source_set_description(link->connection_io, "daemon");
    link->connection = connection;
    return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    const SupervisorMessage hello = { .type = SUPERVISOR_HELLO,
                                      .version = SUPERVISOR_PROTOCOL_VERSION };
    DaemonLink *link = userdata;

    (void)source;
    (void)revents;
    _cleanup_close_ int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0)
        return 0;
    link->connection_io = sd_event_source_disable_unref(link->connection_io);
    link->connection = fd_close(link->connection);
    if (link_attach(link, connection) < 0) {
        link->handlers->lost(link->userdata);
        return 0;
    }
    (void)take_fd(&connection);
    link->adopting = true;
    link->handlers->found(link->userdata);
    if (link_send(link, &hello) < 0)
        link_lose(link);
    return 0;
}

int daemon_link_new(sd_event *event,
                    int64_t priority,
                    int connection,
                    int listener,
                    const DaemonLinkHandlers *handlers,
                    void *userdata,
                    DaemonLink **ret_link)
{
    _cleanup_(daemon_link_freep) DaemonLink *link = calloc(1, sizeof(*link));
    if (!link) {
        (void)fd_close(connection);
        (void)fd_close(listener);
        return -ENOMEM;
    }

    link->event = sd_event_ref(event);
    link->priority = priority;
    link->connection = -EBADF;
    link->listener = listener;
    link->handlers = handlers;
    link->userdata = userdata;
    link->next_number = FIRST_EVENT_NUMBER;
    link->sent = link->acknowledged = FIRST_EVENT_NUMBER - 1;
    int r = link_attach(link, connection);
    if (r < 0) {
        (void)fd_close(connection);
        return r;
    }
    if (listener >= 0) {
        r = sd_event_add_io(event, &link->listener_io, listener, EPOLLIN, on_listener, link);
        if (r < 0)
            return r;
        (void)sd_event_source_set_priority(link->listener_io, priority);
        (void)sd_event_source_set_description(link->listener_io, "next-daemon");
    }
    *ret_link = TAKE_PTR(link);
    return 0;
}

DaemonLink *daemon_link_free(DaemonLink *link)
{
    if (!link)
        return NULL;

    sd_event_source_disable_unref(link->connection_io);
    sd_event_source_disable_unref(link->listener_io);
    (void)fd_close(link->connection);
    (void)fd_close(link->listener);
    event_history_deinit(&link->history);
    sd_event_unref(link->event);
    free(link);
    return NULL;
}

void daemon_link_tell(DaemonLink *link, SupervisorMessage *message)
{
    message->event_number = link->next_number++;
    if (event_history_add(&link->history, message) < 0)
        log_warning("no memory to keep event %ju", (uintmax_t)message->event_number);
    link_send_events(link);
}

void daemon_link_answer(DaemonLink *link, const SupervisorMessage *message)
{
    int r = link->connection < 0 || link->adopting ? -ENOTCONN : link_send(link, message);

    if (r < 0)
        log_warning("cannot answer the daemon: %s", strerror(-r));
}

bool daemon_link_is_behind(const DaemonLink *link)
{
    return link->acknowledged + 1 < link->next_number;
}
