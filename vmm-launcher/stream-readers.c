/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/stream-readers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "protocol/console.h"
#include "vmm-launcher/output.h"

#define TYPED_SIZE 512
/* Of what a socket can hold: its buffer has some 200 KiB. */
#define LEFTOVER_SIZE      4096
#define LEFTOVER_READS_MAX 128

struct StreamReader {
    LIST_ENTRY(StreamReader) link;
    StreamReaders *readers;
    Output *output;
    int fd; /* the output's */
};

void stream_readers_init(StreamReaders *readers,
                         sd_event *event,
                         int64_t priority,
                         void (*typed)(void *userdata, const char *bytes, size_t size),
                         void *userdata)
{
    *readers = (StreamReaders){
        .event = event, .priority = priority, .typed = typed, .userdata = userdata
    };
    LIST_INIT(&readers->list);
}

static void reader_free(StreamReader *reader)
{
    char leftover[LEFTOVER_SIZE];

    /* A client whose words were not read would see an error in place of the end. */
    for (int i = 0; i < LEFTOVER_READS_MAX; i++) {
        if (recv(reader->fd, leftover, sizeof(leftover), MSG_DONTWAIT) <= 0)
            break;
    }
    if (reader->readers->writer == reader)
        reader->readers->writer = NULL;
    LIST_REMOVE(reader, link);
    reader->readers->n_readers--;
    output_free(reader->output);
    free(reader);
}

void stream_readers_deinit(StreamReaders *readers)
{
    StreamReader *reader;

    while ((reader = LIST_FIRST(&readers->list)))
        reader_free(reader);
}

/* The reader is there to read, and nothing else: what it sends from now on is refused. */
static void reader_stop_writing(StreamReader *reader)
{
    if (reader->readers->writer == reader)
        reader->readers->writer = NULL;
    (void)shutdown(reader->fd, SHUT_RD);
    output_set_watched(reader->output, EPOLLHUP);
}

static void on_reader_io(void *userdata, uint32_t revents)
{
    StreamReader *reader = userdata;
    StreamReaders *readers = reader->readers;
    char bytes[TYPED_SIZE];

    if (readers->writer == reader && (revents & EPOLLIN)) {
        ssize_t n = recv(reader->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n > 0)
            readers->typed(readers->userdata, bytes, (size_t)n);
        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
            return;
        reader_stop_writing(reader); /* it may go on reading */
        return;
    }
    if (revents & (EPOLLHUP | EPOLLERR))
        reader_free(reader);
}

static void on_reader_drained(void *userdata)
{
    StreamReader *reader = userdata;

    if (reader->readers->ended)
        reader_free(reader);
}

static void send_past(const ByteRing *past, Output *output)
{
    const char *bytes;
    size_t size;

    for (size_t skip = 0; (size = byte_ring_get_chunk(past, skip, &bytes)) > 0; skip += size)
        output_write(output, bytes, size);
}

int stream_readers_add(StreamReaders *readers, const ByteRing *past, int fd, bool writes)
{
    _cleanup_close_ int owned = fd;

    if (readers->ended)
        return -ESHUTDOWN;
    if (readers->n_readers >= CONSOLE_READERS_MAX)
        return -EUSERS;
    if (writes && readers->writer)
        return -EBUSY;
    StreamReader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return -ENOMEM;

    reader->readers = readers;
    reader->fd = fd;
    int r = output_new_for_socket(readers->event, take_fd(&owned), &reader->output);
    if (r >= 0)
        r = output_watch(reader->output, readers->priority, writes ? EPOLLIN : EPOLLHUP,
                         on_reader_io, reader);
    if (r < 0) {
        output_free(reader->output);
        free(reader);
        return r;
    }

    output_set_drained_handler(reader->output, on_reader_drained, reader);
    LIST_INSERT_HEAD(&readers->list, reader, link);
    readers->n_readers++;
    if (writes)
        readers->writer = reader;
    else
        reader_stop_writing(reader);
    send_past(past, reader->output);
    return 0;
}

void stream_readers_end_writer(StreamReaders *readers)
{
    if (readers->writer)
        reader_free(readers->writer);
}

void stream_readers_write(StreamReaders *readers, const char *bytes, size_t size)
{
    StreamReader *reader;

    LIST_FOREACH(reader, &readers->list, link)
    {
        output_write(reader->output, bytes, size);
    }
}

void stream_readers_end(StreamReaders *readers)
{
    StreamReader *reader, *next;

    readers->ended = true;
    for (reader = LIST_FIRST(&readers->list); reader; reader = next) {
        next = LIST_NEXT(reader, link);
        if (!output_is_behind(reader->output))
            reader_free(reader);
    }
}

bool stream_readers_are_behind(const StreamReaders *readers)
{
    const StreamReader *reader;

    LIST_FOREACH(reader, &readers->list, link)
    {
        if (output_is_behind(reader->output))
            return true;
    }
    return false;
}
