/* SPDX-License-Identifier: Apache-2.0 */
/* libdbus keeps one watch for reading and one for writing on the same descriptor, which epoll
 * takes only once: so one event source stands for all watches of the connection, and its event
 * mask is what the enabled ones want. */
#include "dbus/bus-loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/cleanup.h"

#define WATCHES_MAX        4
#define DISPATCH_BURST_MAX 32 /* messages in a row before other sources get their turn */
#define USEC_PER_MSEC      1000U

struct BusLoop {
    sd_event *event;
    DBusConnection *connection;
    int64_t priority;
    DBusWatch *watches[WATCHES_MAX];
    size_t n_watches;
    sd_event_source *io;
    sd_event_source *dispatch; /* on while messages wait to be dispatched */
};

static void dispatch_some(BusLoop *loop)
{
    for (int i = 0; i < DISPATCH_BURST_MAX; i++) {
        if (dbus_connection_dispatch(loop->connection) != DBUS_DISPATCH_DATA_REMAINS)
            return;
    }
}

static int on_dispatch(sd_event_source *source, void *userdata)
{
    BusLoop *loop = userdata;

    dispatch_some(loop);
    if (dbus_connection_get_dispatch_status(loop->connection) != DBUS_DISPATCH_DATA_REMAINS)
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* cannot fail on a live source */
    return 0;
}

static void on_dispatch_status(DBusConnection *connection,
                               DBusDispatchStatus status,
                               void *userdata)
{
    BusLoop *loop = userdata;

    (void)connection;
    /* May be called in the middle of anything: note it, dispatch from the loop. */
    if (status == DBUS_DISPATCH_DATA_REMAINS)
        (void)sd_event_source_set_enabled(loop->dispatch, SD_EVENT_ON);
}

static uint32_t wanted_events(const BusLoop *loop)
{
    uint32_t events = 0;

    for (size_t i = 0; i < loop->n_watches; i++) {
        if (!dbus_watch_get_enabled(loop->watches[i]))
            continue;
        unsigned flags = dbus_watch_get_flags(loop->watches[i]);
        events |= flags & DBUS_WATCH_READABLE ? EPOLLIN : 0;
        events |= flags & DBUS_WATCH_WRITABLE ? EPOLLOUT : 0;
    }
    return events;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    BusLoop *loop = userdata;
    unsigned flags = 0;

    (void)source;
    (void)fd;
    flags |= revents & EPOLLIN ? DBUS_WATCH_READABLE : 0;
    flags |= revents & EPOLLOUT ? DBUS_WATCH_WRITABLE : 0;
    flags |= revents & EPOLLERR ? DBUS_WATCH_ERROR : 0;
    flags |= revents & EPOLLHUP ? DBUS_WATCH_HANGUP : 0;

    /* Handling one watch may remove another: look each up anew. */
    for (size_t i = 0; i < loop->n_watches; i++) {
        DBusWatch *watch = loop->watches[i];
        unsigned relevant =
            flags & (dbus_watch_get_flags(watch) | DBUS_WATCH_ERROR | DBUS_WATCH_HANGUP);
        if (relevant != 0 && dbus_watch_get_enabled(watch))
            (void)dbus_watch_handle(watch, relevant); /* out of memory: libdbus tries again */
    }
    dispatch_some(loop);
    return 0;
}

static void update_io(BusLoop *loop)
{
    uint32_t events = wanted_events(loop);

    if (loop->io)
        (void)sd_event_source_set_io_events(loop->io, events);
}

static dbus_bool_t add_watch(DBusWatch *watch, void *userdata)
{
    BusLoop *loop = userdata;

    if (loop->n_watches == WATCHES_MAX)
        return FALSE;
    loop->watches[loop->n_watches++] = watch;

    if (!loop->io) {
        if (sd_event_add_io(loop->event, &loop->io, dbus_watch_get_unix_fd(watch), 0, on_io, loop) <
            0)
            return FALSE;
        (void)sd_event_source_set_description(loop->io, "bus-io");
        (void)sd_event_source_set_priority(loop->io, loop->priority);
    }
    update_io(loop);
    return TRUE;
}

static void remove_watch(DBusWatch *watch, void *userdata)
{
    BusLoop *loop = userdata;

    for (size_t i = 0; i < loop->n_watches; i++) {
        if (loop->watches[i] == watch) {
            loop->watches[i] = loop->watches[--loop->n_watches];
            break;
        }
    }
    if (loop->n_watches == 0)
        loop->io = sd_event_source_disable_unref(loop->io);
    else
        update_io(loop);
}

static void toggle_watch(DBusWatch *watch, void *userdata)
{
    (void)watch;
    update_io(userdata);
}

static uint64_t timeout_usec(DBusTimeout *timeout)
{
    return (uint64_t)dbus_timeout_get_interval(timeout) * USEC_PER_MSEC;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    DBusTimeout *timeout = userdata;

    (void)usec;
    /* A timeout repeats until libdbus removes it. Armed first: handling may free the source. */
    (void)sd_event_source_set_time_relative(source, timeout_usec(timeout));
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    (void)dbus_timeout_handle(timeout); /* out of memory: comes again */
    return 0;
}

static dbus_bool_t add_timeout(DBusTimeout *timeout, void *userdata)
{
    BusLoop *loop = userdata;
    sd_event_source *source = NULL;

    if (sd_event_add_time_relative(loop->event, &source, CLOCK_MONOTONIC, timeout_usec(timeout), 0,
                                   on_timeout, timeout) < 0)
        return FALSE;
    (void)sd_event_source_set_description(source, "bus-timeout");
    (void)sd_event_source_set_priority(source, loop->priority);
    if (!dbus_timeout_get_enabled(timeout))
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
    dbus_timeout_set_data(timeout, source, NULL);
    return TRUE;
}

static void remove_timeout(DBusTimeout *timeout, void *userdata)
{
    (void)userdata;
    (void)sd_event_source_disable_unref(dbus_timeout_get_data(timeout));
    dbus_timeout_set_data(timeout, NULL, NULL);
}

static void toggle_timeout(DBusTimeout *timeout, void *userdata)
{
    sd_event_source *source = dbus_timeout_get_data(timeout);

    (void)userdata;
    (void)sd_event_source_set_time_relative(source, timeout_usec(timeout));
    (void)sd_event_source_set_enabled(source, dbus_timeout_get_enabled(timeout) ? SD_EVENT_ONESHOT
                                                                                : SD_EVENT_OFF);
}

int bus_loop_new(sd_event *event, DBusConnection *connection, int64_t priority, BusLoop **ret_loop)
{
    _cleanup_(bus_loop_freep) BusLoop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return -ENOMEM;

    loop->event = sd_event_ref(event);
    loop->connection = connection;
    loop->priority = priority;

    int r = sd_event_add_defer(event, &loop->dispatch, on_dispatch, loop);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(loop->dispatch, "bus-dispatch");
    (void)sd_event_source_set_priority(loop->dispatch, priority);
    /* On for the first round: the connection may hold messages from before. */
    (void)sd_event_source_set_enabled(loop->dispatch, SD_EVENT_ON);

    if (!dbus_connection_set_watch_functions(connection, add_watch, remove_watch, toggle_watch,
                                             loop, NULL) ||
        !dbus_connection_set_timeout_functions(connection, add_timeout, remove_timeout,
                                               toggle_timeout, loop, NULL))
        return -ENOMEM;
    dbus_connection_set_dispatch_status_function(connection, on_dispatch_status, loop, NULL);

    *ret_loop = TAKE_PTR(loop);
    return 0;
}

BusLoop *bus_loop_free(BusLoop *loop)
{
    if (!loop)
        return NULL;

    dbus_connection_set_dispatch_status_function(loop->connection, NULL, NULL, NULL);
    (void)dbus_connection_set_watch_functions(loop->connection, NULL, NULL, NULL, NULL, NULL);
    (void)dbus_connection_set_timeout_functions(loop->connection, NULL, NULL, NULL, NULL, NULL);
    sd_event_source_disable_unref(loop->io);
    sd_event_source_disable_unref(loop->dispatch);
    sd_event_unref(loop->event);
    free(loop);
    return NULL;
}
