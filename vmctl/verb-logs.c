/* SPDX-License-Identifier: Apache-2.0 */
/* The service sends the past before its reply, so what is in the stream then is all of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/interrupt.h"
#include "vmctl/output-copy.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-stream.h"

#define PAST_MAX ((size_t)1 << 20) /* more than is kept; what comes meanwhile is part of it */

typedef struct Log {
    const char *name; /* as OpenLog has it */
    const char *tail; /* in the death record; NULL: not there */
} Log;

typedef struct Reading {
    int stream_fd;
    sd_event *event;
    OutputCopy *copy;
    size_t past_size;
    char past[PAST_MAX];
} Reading;

static Reading *reading_free(Reading *reading)
{
    if (!reading)
        return NULL;
    output_copy_free(reading->copy);
    sd_event_unref(reading->event);
    (void)fd_close(reading->stream_fd);
    free(reading);
    return NULL;
}
DEFINE_CLEANUP(Reading, reading_free);

static int choose_log(const Options *options, const Log **ret_log, Error *error)
{
    static const Log console = { "console", "console-tail" }, vmm = { "vmm", "vmm-tail" },
                     guest = { "guest", NULL };

    if (options->console && !options_wants_console(options))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'logs' prints the console, and takes no file for '--console'");
    if (options_wants_console(options) + options->vmm + options->guest > 1)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "one of '--console', '--vmm' and '--guest' at a time");
    *ret_log = options->vmm ? &vmm : options->guest ? &guest : &console;
    return 0;
}

static int parse_lines(const char *text, uint64_t *ret_lines, Error *error)
{
    *ret_lines = UINT64_MAX;
    if (!text || strcmp(text, "all") == 0)
        return 0;
    if (text_parse_u64(text, UINT64_MAX - 1, ret_lines) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--lines' takes a number or 'all', not '%s'", text);
    return 0;
}

/* The part of the text that its last @n_lines are. */
static const char *find_last_lines(const char *text, size_t size, uint64_t n_lines)
{
    const char *start = text + size;

    if (size == 0 || n_lines == 0)
        return start;
    start--; /* the newline that ends the last line */
    while (start > text && (start[-1] != '\n' || --n_lines > 0))
        start--;
    return start;
}

static void on_done(void *userdata)
{
    Reading *reading = userdata;

    (void)sd_event_exit(reading->event, 0); /* cannot fail on a live loop */
}

/* Reads what is there. */
static int read_past(Reading *reading)
{
    while (reading->past_size < sizeof(reading->past)) {
        ssize_t n = recv(reading->stream_fd, reading->past + reading->past_size,
                         sizeof(reading->past) - reading->past_size, MSG_DONTWAIT);
        if (n > 0)
            reading->past_size += (size_t)n;
        else if (n == 0 || errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int print(Reading *reading, uint64_t n_lines, bool follow)
{
    OutputCopyMode mode = isatty(STDOUT_FILENO) == 1 ? OUTPUT_COPY_ESCAPED : OUTPUT_COPY_RAW;

    int r = read_past(reading);
    if (r >= 0)
        r = sd_event_new(&reading->event);
    if (r >= 0)
        r = interrupt_watch(reading->event, NULL, NULL); /* ends the loop */
    if (r >= 0)
        r = output_copy_new(reading->event, reading->stream_fd, STDOUT_FILENO, mode, on_done,
                            reading, &reading->copy);
    if (r < 0)
        return r;
    reading->stream_fd = -EBADF; /* the copy's now */
    const char *past = find_last_lines(reading->past, reading->past_size, n_lines);
    r = output_copy_feed(reading->copy, past, (size_t)(reading->past + reading->past_size - past));
    if (r >= 0 && !follow)
        output_copy_end(reading->copy);
    if (r >= 0)
        r = sd_event_loop(reading->event);
    return r < 0 ? r : output_copy_get_error(reading->copy);
}

/* Of one that is dead the last lines are kept, ready for a terminal. */
static int print_tail(const Options *options, const Log *log, uint64_t n_lines)
{
    _cleanup_(json_object_putp) struct json_object *record = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_free_ char *path = NULL;
    const char *tail;

    int r = client_new(options, &client, NULL);
    if (r >= 0)
        r = client_find_vm(client, options->arguments[0], &path, NULL);
    if (r >= 0)
        r = client_call_vm(client, path, "GetDeathRecord", "a{sv}", &record, NULL);
    if (r < 0)
        return r;
    if (!log->tail || !bus_value_get_string(record, log->tail, &tail))
        return -ENOENT;
    (void)fputs(find_last_lines(tail, strlen(tail), n_lines), stdout);
    if (*tail != '\0' && tail[strlen(tail) - 1] != '\n')
        (void)putchar('\n');
    return 0;
}

static int read_log(const Options *options, const Log *log, uint64_t n_lines, Error *error)
{
    _cleanup_(reading_freep) Reading *reading = calloc(1, sizeof(*reading));
    Error cause = ERROR_INIT;

    if (!reading)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    reading->stream_fd = -EBADF;
    int r = vm_stream_open(options, options->arguments[0], "OpenLog", log->name,
                           &reading->stream_fd, &cause);
    if (r < 0 && cause.kind == ERROR_INVALID_STATE && print_tail(options, log, n_lines) >= 0) {
        error_clear(&cause);
        return 0;
    }
    error_move(error, &cause);
    if (r < 0)
        return r;
    r = print(reading, n_lines, options->follow);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot copy the log") : 0;
}

int verb_logs(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const Log *log;
    uint64_t n_lines;

    int r = choose_log(options, &log, &error);
    if (r >= 0)
        r = parse_lines(options->lines, &n_lines, &error);
    if (r >= 0)
        r = read_log(options, log, n_lines, &error);
    if (r < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
