/* SPDX-License-Identifier: Apache-2.0 */
/* The destination is most often shared with other programs, a terminal with the shell, so it is not
 * made non-blocking. Instead each write follows epoll's word that it is writable and is at most
 * PIPE_BUF long, which a writable pipe takes whole. */
#include "vmctl/output-copy.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/fd.h"

#define READ_SIZE 65536
#define QUEUE_MAX                                                                  \
    ((size_t)64 << 20) /* then the pipe fills, and its writer counts what it drops \
                        */
#define QUEUE_MIN    ((size_t)2 * READ_SIZE)
#define ESCAPED_SIZE 4 /* \xNN */

struct OutputCopy {
    int source_fd, destination_fd;
    OutputCopyMode mode;
    void (*on_done)(void *userdata);
    void *userdata;
    sd_event_source *source, *destination; /* destination: NULL for a regular file */
    char *queue;                           /* of bytes to write, from start to end */
    size_t start, end, capacity;
    unsigned char last_byte; /* that came from the source */
    bool ended;              /* the source */
    bool done;
    int error;
};

static void update(OutputCopy *copy)
{
    bool queued = copy->end > copy->start;

    if (copy->done)
        return;
    if (copy->error < 0 || (copy->ended && !queued)) {
        copy->done = true;
        copy->source = sd_event_source_disable_unref(copy->source);
        copy->destination = sd_event_source_disable_unref(copy->destination);
        copy->on_done(copy->userdata);
        return;
    }
    /* Neither call can fail on a live source. */
    (void)sd_event_source_set_enabled(
        copy->source,
        !copy->ended && copy->end - copy->start < QUEUE_MAX ? SD_EVENT_ON : SD_EVENT_OFF);
    if (copy->destination)
        (void)sd_event_source_set_enabled(copy->destination, queued ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int reserve(OutputCopy *copy, size_t size)
{
    size_t queued = copy->end - copy->start;

    if (copy->capacity - copy->end >= size)
        return 0;
    if (copy->start > 0 && copy->capacity - queued >= size && queued <= copy->capacity / 2) {
        memmove(copy->queue, copy->queue + copy->start, queued);
        copy->start = 0;
        copy->end = queued;
        return 0;
    }
    /* No overflow: QUEUE_MAX bounds what is queued. */
    size_t capacity = 2 * (copy->end + size) > QUEUE_MIN ? 2 * (copy->end + size) : QUEUE_MIN;
    char *queue = realloc(copy->queue, capacity);
    if (!queue)
        return -ENOMEM;
    copy->queue = queue;
    copy->capacity = capacity;
    return 0;
}

static bool is_dangerous(unsigned char byte, unsigned char previous)
{
    if (byte < 0x20)
        return byte != '\n' && byte != '\r' && byte != '\t';
    /* U+0080 to U+009F, the C1 controls, are 0xc2 and this byte. */
    return byte == 0x7f || (previous == 0xc2 && byte >= 0x80 && byte < 0xa0);
}

static void append(OutputCopy *copy, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (copy->mode == OUTPUT_COPY_RAW) {
        memcpy(copy->queue + copy->end, bytes, size);
        copy->end += size;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        char *place = copy->queue + copy->end;

        if (is_dangerous(bytes[i], copy->last_byte)) {
            const char escape[ESCAPED_SIZE] = { '\\', 'x', digits[bytes[i] >> 4],
                                                digits[bytes[i] & 0xf] };
            memcpy(place, escape, sizeof(escape));
            copy->end += sizeof(escape);
        } else {
            *place = (char)bytes[i];
            copy->end++;
        }
        copy->last_byte = bytes[i];
    }
}

/* Writes one piece. 1: more can follow at once; 0: all is written, or not now. */
static int write_some(OutputCopy *copy)
{
    size_t size = copy->end - copy->start;

    ssize_t n =
        write(copy->destination_fd, copy->queue + copy->start, size < PIPE_BUF ? size : PIPE_BUF);
    if (n < 0)
        return errno == EINTR ? 1 : errno == EAGAIN ? 0 : -errno;
    copy->start += (size_t)n;
    if (copy->start == copy->end)
        copy->start = copy->end = 0;
    return copy->end > 0;
}

static int take(OutputCopy *copy, const unsigned char *bytes, size_t size)
{
    int r = reserve(copy, size * ESCAPED_SIZE);

    if (r < 0)
        return r;
    append(copy, bytes, size);
    if (!copy->destination) { /* a file: it takes everything, and epoll would not tell */
        do
            r = write_some(copy);
        while (r > 0);
    }
    return r < 0 ? r : 0;
}

/* Takes what one read() gives. 1: there may be more; 0: nothing there now, or the end. */
static int read_some(OutputCopy *copy)
{
    unsigned char bytes[READ_SIZE];

    ssize_t n = read(copy->source_fd, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EINTR ? 1 : errno == EAGAIN ? 0 : -errno;
    if (n == 0) {
        copy->ended = true;
        return 0;
    }
    int r = take(copy, bytes, (size_t)n);
    return r < 0 ? r : 1;
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    OutputCopy *copy = userdata;

    (void)source;
    (void)fd;
    (void)revents; /* an error shows in write() */
    int r = write_some(copy);
    if (r < 0)
        copy->error = r;
    update(copy);
    return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    OutputCopy *copy = userdata;

    (void)source;
    (void)fd;
    (void)revents; /* the end shows in read() */
    int r = read_some(copy);
    if (r < 0)
        copy->error = r;
    update(copy);
    return 0;
}

static int add_destination(OutputCopy *copy, sd_event *event)
{
    int r = sd_event_add_io(event, &copy->destination, copy->destination_fd, EPOLLOUT, on_writable,
                            copy);

    if (r == -EPERM) /* a regular file */
        return 0;
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(copy->destination, "output-destination");
    return sd_event_source_set_enabled(copy->destination, SD_EVENT_OFF);
}

int output_copy_new(sd_event *event,
                    int source_fd,
                    int destination_fd,
                    OutputCopyMode mode,
                    void (*on_done)(void *userdata),
                    void *userdata,
                    OutputCopy **ret_copy)
{
    _cleanup_(output_copy_freep) OutputCopy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;

    *copy = (OutputCopy){
        .source_fd = -EBADF,
        .destination_fd = destination_fd,
        .mode = mode,
        .on_done = on_done,
        .userdata = userdata,
    };
    int r = fd_set_nonblocking(source_fd, true);
    if (r < 0)
        return r;
    r = add_destination(copy, event);
    if (r < 0)
        return r;
    r = sd_event_add_io(event, &copy->source, source_fd, EPOLLIN, on_readable, copy);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(copy->source, "output-source");
    copy->source_fd = source_fd;

    *ret_copy = TAKE_PTR(copy);
    return 0;
}

OutputCopy *output_copy_free(OutputCopy *copy)
{
    if (!copy)
        return NULL;

    sd_event_source_disable_unref(copy->source);
    sd_event_source_disable_unref(copy->destination);
    (void)fd_close(copy->source_fd);
    free(copy->queue);
    free(copy);
    return NULL;
}

int output_copy_feed(OutputCopy *copy, const void *bytes, size_t size)
{
    int r = take(copy, bytes, size);

    if (r < 0)
        copy->error = r;
    update(copy);
    return r;
}

void output_copy_end(OutputCopy *copy)
{
    copy->ended = true;
    update(copy);
}

void output_copy_finish(OutputCopy *copy)
{
    int r;

    if (copy->done || copy->ended)
        return;
    do
        r = read_some(copy);
    while (r > 0);
    if (r < 0)
        copy->error = r;
    copy->ended = true;
    update(copy);
}

bool output_copy_is_done(const OutputCopy *copy)
{
    return copy->done;
}

int output_copy_get_error(const OutputCopy *copy)
{
    return copy->error;
}
