/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vm-console.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/byte-ring.h"
#include "common/fd.h"
#include "vmm-launcher/event-source.h"
#include "vmm-launcher/output.h"
#include "vmm-launcher/stream-readers.h"

#define RING_SIZE       65536 /* what a new reader sees of the past; touched as it fills */
#define TRANSFER_SIZE   4096
#define TYPED_SIZE      512
#define DRAIN_READS_MAX 64

struct VmConsole {
    sd_event *event;
    int fd, in_fd;
    sd_event_source *io, *in_io;
    Output *out; /* NULL: none */
    ByteRing ring;
    StreamReaders readers;
    bool draining;
};

static void read_console(VmConsole *console)
{
    char bytes[TRANSFER_SIZE];

    for (int i = 0; i < DRAIN_READS_MAX; i++) {
        ssize_t n = recv(console->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0) {
            console->io = sd_event_source_disable_unref(console->io);
            stream_readers_end(&console->readers);
            return;
        }
        if (n < 0)
            return;
        (void)byte_ring_write(&console->ring, bytes, (size_t)n); /* no memory, no tail */
        if (console->out)
            output_write(console->out, bytes, (size_t)n);
        stream_readers_write(&console->readers, bytes, (size_t)n);
        if (!console->draining)
            return; /* the loop comes back, after the others had their turn */
    }
}

static int on_console(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (void)source;
    (void)fd;
    (void)revents;
    read_console(userdata);
    return 0;
}

/* A guest that does not read its console loses the input, like any serial line. */
static void type_in(void *userdata, const char *bytes, size_t size)
{
    const VmConsole *console = userdata;

    if (!console->draining)
        (void)send(console->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    VmConsole *console = userdata;
    char bytes[TYPED_SIZE];

    (void)source;
    (void)revents;
    /* A client's socket cannot be opened anew to be non-blocking; what can be, has been. */
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK)
        n = read(fd, bytes, sizeof(bytes));
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            console->in_io = sd_event_source_disable_unref(console->in_io);
        return 0;
    }
    type_in(console, bytes, (size_t)n);
    return 0;
}

int vm_console_new(
    sd_event *event, int64_t priority, int fd, int in_fd, int out_fd, VmConsole **ret_console)
{
    _cleanup_(vm_console_freep) VmConsole *console = calloc(1, sizeof(*console));
    if (!console) {
        (void)fd_close(fd);
        (void)fd_close(in_fd);
        (void)fd_close(out_fd);
        return -ENOMEM;
    }

    console->event = sd_event_ref(event);
    console->fd = fd;
    console->in_fd = in_fd;
    byte_ring_init(&console->ring, RING_SIZE);
    stream_readers_init(&console->readers, event, priority, type_in, console);
    int r = out_fd < 0 ? 0 : output_new(event, out_fd, &console->out);
    if (r >= 0)
        r = event_source_add_input(event, &console->io, fd, priority, "console", on_console,
                                   console);
    if (r < 0)
        return r;
    if (in_fd >= 0)
        r = event_source_add_input(event, &console->in_io, in_fd, priority, "console-in", on_input,
                                   console);
    if (r < 0 && r != -EPERM) /* a file that is always ready is no input */
        return r;

    *ret_console = TAKE_PTR(console);
    return 0;
}

VmConsole *vm_console_free(VmConsole *console)
{
    if (!console)
        return NULL;

    sd_event_source_disable_unref(console->io);
    sd_event_source_disable_unref(console->in_io);
    stream_readers_deinit(&console->readers);
    output_free(console->out);
    (void)fd_close(console->fd);
    (void)fd_close(console->in_fd);
    byte_ring_deinit(&console->ring);
    sd_event_unref(console->event);
    free(console);
    return NULL;
}

void vm_console_drain(VmConsole *console)
{
    console->draining = true;
    console->in_io = sd_event_source_disable_unref(console->in_io);
    read_console(console);
}

int vm_console_open(VmConsole *console, ConsoleMode mode, int fd)
{
    bool writes = mode != CONSOLE_READ_ONLY;

    /* Whom it replaces makes room for it. */
    if (mode == CONSOLE_TAKE_OVER)
        stream_readers_end_writer(&console->readers);
    return stream_readers_add(&console->readers, &console->ring, fd, writes);
}

size_t vm_console_copy_tail(const VmConsole *console, char *destination, size_t capacity)
{
    return byte_ring_copy_tail(&console->ring, destination, capacity);
}

uint64_t vm_console_get_dropped(const VmConsole *console)
{
    return console->out ? output_get_dropped(console->out) : 0;
}

bool vm_console_is_behind(const VmConsole *console)
{
    return (console->out && output_is_behind(console->out)) ||
           stream_readers_are_behind(&console->readers);
}
