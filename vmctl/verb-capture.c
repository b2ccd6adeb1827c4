/* SPDX-License-Identifier: Apache-2.0 */
/* The device writes into a pipe, which never holds it up; we are to empty it in time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "dbus/interfaces.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/interrupt.h"
#include "vmctl/output.h"
#include "vmctl/stream-relay.h"
#include "vmctl/verbs.h"

#define PIPE_SIZE (1 << 20) /* what every user may ask for, pipe(7) */

/* Source: the pcap file format, draft-ietf-opsawg-pcap. */
#define FILE_HEADER_SIZE   24
#define RECORD_HEADER_SIZE 16
#define RECORD_SIZE_OFFSET 8

typedef struct Capture {
    sd_event *event;
    int reading_fd, file_fd;
    StreamRelay *relay;
    bool interrupted;
    uint64_t whole_size; /* of the file up to the end of the last whole record */
    uint64_t left;       /* bytes of the record, or of the file's header, still to come */
    uint64_t size;       /* of it, with those */
    uint8_t header[RECORD_HEADER_SIZE];
    size_t header_size;
} Capture;

static void capture_deinit(Capture *capture)
{
    stream_relay_free(capture->relay);
    sd_event_unref(capture->event);
    (void)fd_close(capture->reading_fd);
    if (capture->file_fd != STDOUT_FILENO)
        (void)fd_close(capture->file_fd);
}

/* Follows the records, and lets everything pass. */
static size_t follow_records(void *userdata, const uint8_t *bytes, size_t size)
{
    Capture *capture = userdata;
    ByteReader reader = byte_reader(bytes, size);

    while (reader.size > 0) {
        uint64_t part = capture->left < reader.size ? capture->left : reader.size;
        const uint8_t *skipped;

        if (part == 0) { /* a header */
            uint32_t record_size;

            (void)byte_reader_get_u8(&reader, &capture->header[capture->header_size++]);
            if (capture->header_size < RECORD_HEADER_SIZE)
                continue;
            ByteReader field = byte_reader(capture->header + RECORD_SIZE_OFFSET, sizeof(uint32_t));
            (void)byte_reader_get_le32(&field, &record_size); /* it is there */
            capture->header_size = 0;
            capture->left = record_size;
            capture->size = RECORD_HEADER_SIZE + (uint64_t)record_size;
        } else {
            (void)byte_reader_get_view(&reader, (size_t)part, &skipped); /* as much is there */
            capture->left -= part;
        }
        if (capture->left == 0 && capture->header_size == 0)
            capture->whole_size += capture->size;
    }
    return size;
}

static void on_done(void *userdata)
{
    Capture *capture = userdata;

    (void)sd_event_exit(capture->event, 0); /* cannot fail on a live loop, here and below */
}

/* Nothing else is to be done: what was captured has been written. */
static int on_idle(sd_event_source *source, void *userdata)
{
    (void)source;
    on_done(userdata);
    return 0;
}

static int on_interrupt(sd_event_source *source,
                        const struct signalfd_siginfo *info,
                        void *userdata)
{
    Capture *capture = userdata;
    sd_event_source *idle = NULL;

    (void)source;
    (void)info;
    /* A second one does not wait for a guest that goes on and on. */
    if (capture->interrupted || sd_event_add_defer(capture->event, &idle, on_idle, capture) < 0) {
        on_done(capture);
        return 0;
    }
    capture->interrupted = true;
    (void)sd_event_source_set_priority(idle, SD_EVENT_PRIORITY_IDLE);
    (void)sd_event_source_set_floating(idle, true);
    sd_event_source_unref(idle);
    return 0;
}

static int check_file(const char *path, Error *error)
{
    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'capture' needs '--write', the file to write to");
    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO) == 1)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "standard output is a terminal, which shows no capture: use a file, or a "
                         "pipe to tshark -r -");
    return 0;
}

static int open_file(Capture *capture, const char *path, Error *error)
{
    if (strcmp(path, "-") == 0) {
        capture->file_fd = STDOUT_FILENO;
        return 0;
    }
    /* What a guest and its host tell each other is nobody else's. */
    capture->file_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (capture->file_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot write '%s'", path);
    return 0;
}

/* Has the service write into a new pipe. */
static int begin(Capture *capture, const Options *options, Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_free_ char *path = NULL;
    int ends[2];

    int r = client_new(options, &client, error);
    if (r >= 0)
        r = client_find_vm(client, options->arguments[0], &path, error);
    if (r < 0)
        return r;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    capture->reading_fd = ends[0];
    _cleanup_close_ int writing_fd = ends[1];
    (void)fcntl(writing_fd, F_SETPIPE_SZ, PIPE_SIZE); /* a smaller one works, too */
    DBusMessage *call = client_new_call(client, path, BUS_VM_INTERFACE, "CaptureVsock",
                                        DBUS_TYPE_UNIX_FD, &writing_fd, DBUS_TYPE_INVALID);
    r = client_call(client, call, "", NULL, error);
    /* Only now, so that a call that fails leaves no file behind. */
    return r < 0 ? r : open_file(capture, options->write, error);
}

static int set_up_loop(Capture *capture)
{
    static const StreamRelayHandlers handlers = { .inspect = follow_records, .on_done = on_done };

    int r = sd_event_new(&capture->event);
    if (r >= 0)
        r = interrupt_watch(capture->event, on_interrupt, capture);
    if (r >= 0)
        r = stream_relay_new(capture->event, capture->reading_fd, capture->file_fd, &handlers,
                             capture, &capture->relay);
    return r;
}

/* What ended in the middle of a record would be no file for other programs. */
static int cut_to_whole_records(const Capture *capture)
{
    struct stat status;

    if (fstat(capture->file_fd, &status) < 0)
        return -errno;
    if (capture->file_fd == STDOUT_FILENO || !S_ISREG(status.st_mode))
        return 0;
    return ftruncate(capture->file_fd, (off_t)capture->whole_size) < 0 ? -errno : 0;
}

static int capture_to_end(Capture *capture, const Options *options, Error *error)
{
    int r = check_file(options->write, error);
    if (r >= 0)
        r = begin(capture, options, error);
    if (r < 0)
        return r;
    r = set_up_loop(capture);
    if (r >= 0)
        r = sd_event_loop(capture->event);
    if (r >= 0)
        r = stream_relay_get_error(capture->relay);
    if (r >= 0)
        r = cut_to_whole_records(capture);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot write the capture") : 0;
}

int verb_capture(const Options *options)
{
    _cleanup_(capture_deinit) Capture capture = {
        .reading_fd = -EBADF, .file_fd = -EBADF, .left = FILE_HEADER_SIZE, .size = FILE_HEADER_SIZE
    };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (capture_to_end(&capture, options, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
