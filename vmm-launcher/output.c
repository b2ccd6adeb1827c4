/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

struct Output {
    sd_event *event;
    int fd;
    bool is_socket;
    bool is_broken; /* nobody reads any more */
    sd_event_source *io;
    char *pending; /* OUTPUT_PENDING_MAX bytes while there is something in it */
    size_t pending_size;
    uint64_t dropped;
    void (*drained)(void *userdata);
    void *userdata;
    void (*copy)(void *userdata, const char *data, size_t size);
    void *copy_userdata;
    uint32_t watched; /* events of the other side */
    void (*on_watched)(void *userdata, uint32_t revents);
    void *watched_userdata;
};

int output_open(int fd, int *ret_fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;

    /* Setting O_NONBLOCK on the client's own description would change its terminal or pipe under
     * its hands. A regular file keeps its offset and never blocks for long. */
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
        return fd_reopen(fd, O_WRONLY | O_NONBLOCK, ret_fd);

    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return -errno;
    *ret_fd = duplicate;
    return 0;
}

static int new_for(sd_event *event, int fd, bool is_socket, Output **ret_output)
{
    Output *output = calloc(1, sizeof(*output));
    if (!output) {
        (void)fd_close(fd);
        return -ENOMEM;
    }

    output->event = sd_event_ref(event);
    output->fd = fd;
    output->is_socket = is_socket;
    *ret_output = output;
    return 0;
}

int output_new(sd_event *event, int fd, Output **ret_output)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        int r = -errno;

        (void)fd_close(fd);
        return r;
    }
    return new_for(event, fd, S_ISSOCK(status.st_mode), ret_output);
}

int output_new_for_socket(sd_event *event, int fd, Output **ret_output)
{
    return new_for(event, fd, true, ret_output);
}

int output_new_without_client(sd_event *event, Output **ret_output)
{
    return new_for(event, -EBADF, false, ret_output);
}

Output *output_free(Output *output)
{
    if (!output)
        return NULL;

    sd_event_source_disable_unref(output->io);
    sd_event_unref(output->event);
    (void)fd_close(output->fd);
    free(output->pending);
    free(output);
    return NULL;
}

void output_set_copy_handler(Output *output,
                             void (*copy)(void *userdata, const char *data, size_t size),
                             void *userdata)
{
    output->copy = copy;
    output->copy_userdata = userdata;
}

void output_set_drained_handler(Output *output, void (*drained)(void *userdata), void *userdata)
{
    output->drained = drained;
    output->userdata = userdata;
}

/* Returns how many bytes went out, 0 when the reader is behind or gone. */
static size_t write_some(Output *output, const char *data, size_t size)
{
    ssize_t n;

    if (output->is_broken)
        return 0;
    do
        n = output->is_socket ? send(output->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : write(output->fd, data, size);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        output->is_broken = true; /* EPIPE, ENOSPC, ...: whatever it is, it will not get better */
    return n > 0 ? (size_t)n : 0;
}

/* Whether what is kept has gone, one way or the other. */
static bool flush(Output *output)
{
    size_t done = write_some(output, output->pending, output->pending_size);

    if (output->is_broken) {
        output->dropped += output->pending_size;
        done = output->pending_size;
    }
    output->pending_size -= done;
    memmove(output->pending, output->pending + done, output->pending_size);
    if (output->pending_size > 0)
        return false;

    free(output->pending);
    output->pending = NULL;
    if (output->on_watched)
        (void)sd_event_source_set_io_events(output->io, output->watched);
    else
        output->io = sd_event_source_disable_unref(output->io);
    return true;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Output *output = userdata;

    (void)source;
    (void)fd;
    if (revents & EPOLLERR)
        output->is_broken = true;
    /* Whoever is called may free the output: one a turn, the rest comes again. */
    if (output->pending && flush(output) && output->drained)
        output->drained(output->userdata);
    else if (output->on_watched && (revents & (output->watched | EPOLLHUP | EPOLLERR)))
        output->on_watched(output->watched_userdata, revents);
    return 0;
}

static int add_io(Output *output, uint32_t events)
{
    int r = sd_event_add_io(output->event, &output->io, output->fd, events, on_io, output);
    if (r < 0)
        return r;

    (void)sd_event_source_set_description(output->io, "client-output");
    return 0;
}

static int want_writable(Output *output)
{
    return output->on_watched
               ? sd_event_source_set_io_events(output->io, output->watched | EPOLLOUT)
               : add_io(output, EPOLLOUT);
}

int output_watch(Output *output,
                 int64_t priority,
                 uint32_t events,
                 void (*on_watched)(void *userdata, uint32_t revents),
                 void *userdata)
{
    int r = add_io(output, events);
    if (r < 0)
        return r;

    (void)sd_event_source_set_priority(output->io, priority);
    output->watched = events;
    output->on_watched = on_watched;
    output->watched_userdata = userdata;
    return 0;
}

void output_set_watched(Output *output, uint32_t events)
{
    output->watched = events;
    (void)sd_event_source_set_io_events(output->io, output->pending ? events | EPOLLOUT : events);
}

/* Keeps what fits of @data and counts the rest as dropped. */
static void keep(Output *output, const char *data, size_t size)
{
    if (!output->pending) {
        output->pending = malloc(OUTPUT_PENDING_MAX);
        if (!output->pending || want_writable(output) < 0) {
            free(output->pending);
            output->pending = NULL;
            output->dropped += size;
            return;
        }
    }

    size_t room = OUTPUT_PENDING_MAX - output->pending_size;
    size_t kept = size < room ? size : room;
    memcpy(output->pending + output->pending_size, data, kept);
    output->pending_size += kept;
    output->dropped += size - kept;
}

void output_write(Output *output, const char *data, size_t size)
{
    if (output->copy)
        output->copy(output->copy_userdata, data, size);
    if (output->fd < 0)
        return; /* nobody's loss */
    if (!output->pending) {
        size_t done = write_some(output, data, size);
        data += done;
        size -= done;
    }
    if (size == 0)
        return;
    if (output->is_broken)
        output->dropped += size;
    else
        keep(output, data, size);
}

bool output_is_behind(const Output *output)
{
    return output->pending_size > 0;
}

uint64_t output_get_dropped(const Output *output)
{
    return output->dropped;
}
