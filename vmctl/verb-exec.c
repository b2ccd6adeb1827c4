/* SPDX-License-Identifier: Apache-2.0 */
/* The client of protocol/exec-message.h. What a local command would have as a terminal, the one in
 * the guest has as well: standard input, if it is one, makes a terminal in the guest, and standard
 * output and error that are one are the same. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "protocol/exec-message.h"
#include "vmctl/detach-key.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/stream-sink.h"
#include "vmctl/stream-source.h"
#include "vmctl/terminal.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-stream.h"

#define STATUS_NOT_EXECUTABLE 126 /* as the shell's */
#define STATUS_NOT_FOUND      127
#define STATUS_SIGNAL_BASE    128
#define FRAMES_SIZE           (EXEC_FRAME_SIZE_MAX + STREAM_SOURCE_READ_MAX)
#define CONTROL_ROOM          64 /* a frame that is no data */
/* The frames of one read, and what else there may be to send. */
#define INPUT_ROOM    (STREAM_SOURCE_READ_MAX + 8 * CONTROL_ROOM)
#define TERM_SIZE_MAX 256

typedef struct Exec {
    const char *vm;
    sd_event *event;
    int connection_fd, writing_fd; /* of one socket */
    StreamSource *connection, *input;
    StreamSink *sending, *output, *errors;
    uint32_t window; /* bytes of standard input that may still be sent */
    bool input_ended;
    unsigned terminals; /* ExecTerminal bits */
    Terminal terminal;
    DetachKey detach;
    uint8_t frames[FRAMES_SIZE]; /* as they come */
    size_t frames_size;
    bool ended; /* with this status, once all is printed */
    int status;
    Error error; /* what ended it early */
} Exec;

static Exec *exec_free(Exec *exec)
{
    if (!exec)
        return NULL;
    terminal_restore(&exec->terminal);
    stream_source_free(exec->connection);
    stream_source_free(exec->input);
    stream_sink_free(exec->sending);
    stream_sink_free(exec->output);
    stream_sink_free(exec->errors);
    (void)fd_close(exec->connection_fd);
    (void)fd_close(exec->writing_fd);
    sd_event_unref(exec->event);
    error_clear(&exec->error);
    free(exec);
    return NULL;
}
DEFINE_CLEANUP(Exec, exec_free);

static void leave(Exec *exec)
{
    (void)sd_event_exit(exec->event, 0); /* cannot fail on a live loop */
}

/* The connection is to fail, or has. */
static void fail(Exec *exec, int error_number, const char *what)
{
    (void)error_set_errno(&exec->error, ERROR_FAILED, error_number, "%s", what);
    leave(exec);
}

/* --- to the guest --- */

static void send_frame(Exec *exec, const ExecFrame *frame)
{
    uint8_t bytes[EXEC_FRAME_HEADER_SIZE + EXEC_DATA_MAX];

    int size = exec_frame_encode(frame, bytes, sizeof(bytes));
    assert(size > 0);
    stream_sink_write(exec->sending, bytes, (size_t)size);
}

/* Reads standard input when there is room for all that one read may bring. */
static void update_input(Exec *exec)
{
    stream_source_set_enabled(exec->input, !exec->input_ended &&
                                               exec->window >= STREAM_SOURCE_READ_MAX &&
                                               stream_sink_get_room(exec->sending) >= INPUT_ROOM);
}

static uint64_t get_now_usec(Exec *exec)
{
    uint64_t now = 0;

    (void)sd_event_now(exec->event, CLOCK_MONOTONIC, &now); /* cannot fail in a handler */
    return now;
}

static void on_input(void *userdata, const uint8_t *bytes, size_t size)
{
    Exec *exec = userdata;

    if (exec->terminals & EXEC_TERMINAL_STDIN &&
        detach_key_inspect(&exec->detach, bytes, size, get_now_usec(exec)) < size) {
        exec->ended = true;
        exec->status = STATUS_SIGNAL_BASE + SIGHUP; /* what becomes of the command */
        leave(exec);
        return;
    }
    exec->window -= (uint32_t)size; /* as update_input() saw to */
    while (size > 0) {
        size_t part = size < EXEC_DATA_MAX ? size : EXEC_DATA_MAX;

        send_frame(exec, &(ExecFrame){ .type = EXEC_STDIN, .bytes = bytes, .size = part });
        bytes += part;
        size -= part;
    }
    update_input(exec);
}

static void on_input_end(void *userdata, int error)
{
    Exec *exec = userdata;

    exec->input_ended = true;
    if (error < 0 && !(exec->terminals & EXEC_TERMINAL_STDIN)) /* a terminal that is gone is one */
        fail(exec, error, "cannot read standard input");
    send_frame(exec, &(ExecFrame){ .type = EXEC_STDIN_END });
}

static void send_window(Exec *exec)
{
    ExecFrame frame = { .type = EXEC_WINDOW };

    /* A guest that does not read gets no more than fits. */
    terminal_get_size(&exec->terminal, &frame.window.rows, &frame.window.columns);
    if (stream_sink_get_room(exec->sending) >= CONTROL_ROOM)
        send_frame(exec, &frame);
}

/* --- from the guest --- */

static void finish_if_printed(Exec *exec)
{
    int output_error = stream_sink_get_error(exec->output);

    if (output_error < 0)
        fail(exec, output_error, "cannot write to standard output");
    else if (exec->ended && stream_sink_is_empty(exec->output) &&
             stream_sink_is_empty(exec->errors))
        leave(exec);
}

static void print_refusal(const Exec *exec, const ExecFrame *frame)
{
    char text[4 * EXEC_TEXT_MAX + 1];

    (void)text_escape((const char *)frame->bytes, frame->size, text, sizeof(text));
    output_diagnostic("VM %s: %s", exec->vm, text);
}

static void take_frame(Exec *exec, const ExecFrame *frame)
{
    if (frame->type == EXEC_STDOUT) {
        stream_sink_write(exec->output, frame->bytes, frame->size);
    } else if (frame->type == EXEC_STDERR) {
        stream_sink_write(exec->errors, frame->bytes, frame->size);
    } else if (frame->type == EXEC_STDIN_TAKEN) {
        /* More than was sent is no reason to send more than there is room for. */
        exec->window = frame->taken < EXEC_STDIN_WINDOW - exec->window ? exec->window + frame->taken
                                                                       : EXEC_STDIN_WINDOW;
        update_input(exec);
    } else if (frame->type == EXEC_EXITED) {
        exec->ended = true;
        exec->status =
            frame->signal > 0 ? STATUS_SIGNAL_BASE + (int)frame->signal : (int)frame->exit_code;
    } else {
        exec->ended = true;
        exec->status = frame->refusal == EXEC_REFUSAL_NOT_FOUND        ? STATUS_NOT_FOUND
                       : frame->refusal == EXEC_REFUSAL_NOT_EXECUTABLE ? STATUS_NOT_EXECUTABLE
                                                                       : EXIT_STATUS_RUN_FAILED;
        print_refusal(exec, frame);
    }
}

/* Reads on when there is room for all that can then be in the frames. */
static void update_connection(Exec *exec)
{
    stream_source_set_enabled(exec->connection,
                              !exec->ended && stream_sink_get_room(exec->output) >= FRAMES_SIZE &&
                                  stream_sink_get_room(exec->errors) >= FRAMES_SIZE);
    if (exec->ended)
        stream_source_set_enabled(exec->input, false);
    finish_if_printed(exec);
}

static void on_frames(void *userdata, const uint8_t *bytes, size_t size)
{
    Exec *exec = userdata;
    size_t start = 0;
    ExecFrame frame;
    int r = 0;

    memcpy(exec->frames + exec->frames_size, bytes, size); /* what is left is less than a frame */
    exec->frames_size += size;
    while (!exec->ended &&
           (r = exec_frame_decode(exec->frames + start, exec->frames_size - start, &frame)) > 0) {
        if (exec_frame_is_from_client(frame.type)) {
            r = -EBADMSG;
            break;
        }
        take_frame(exec, &frame);
        start += (size_t)r;
    }
    exec->frames_size -= start;
    memmove(exec->frames, exec->frames + start, exec->frames_size);
    if (r < 0)
        fail(exec, r, "the guest does not speak as its guest manager would");
    update_connection(exec);
}

static void on_connection_end(void *userdata, int error)
{
    Exec *exec = userdata;

    (void)error; /* whichever, the guest is gone */
    if (exec->ended)
        return;
    (void)error_set(&exec->error, ERROR_FAILED,
                    "VM %s has hung up before the command has ended: see vmctl status", exec->vm);
    leave(exec);
}

static void on_progress(void *userdata)
{
    update_connection(userdata);
}

/* What cannot be sent shows at the connection's end. */
static void on_sent(void *userdata)
{
    Exec *exec = userdata;

    if (!exec->ended)
        update_input(exec);
}

/* --- signals --- */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Exec *exec = userdata;

    (void)source;
    if (info->ssi_signo == SIGWINCH) {
        send_window(exec);
    } else if (!stream_sink_is_empty(exec->sending)) { /* the guest reads nothing any more */
        exec->ended = true;
        exec->status = STATUS_SIGNAL_BASE + (int)info->ssi_signo;
        leave(exec);
    } else {
        send_frame(exec, &(ExecFrame){ .type = EXEC_SIGNAL, .signal = info->ssi_signo });
    }
    return 0;
}

static unsigned get_kept(const Exec *exec)
{
    return exec->terminals == EXEC_TERMINAL_ALL ? 0 : TERMINAL_KEEP_OUTPUT;
}

/* The shell has the terminal as it was, until we go on. */
static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Exec *exec = userdata;

    (void)source;
    (void)info;
    terminal_restore(&exec->terminal);
    (void)kill(getpid(), SIGSTOP);
    (void)terminal_set_raw(&exec->terminal, get_kept(exec)); /* if it is gone, its input ends */
    send_window(exec);
    return 0;
}

static int watch_signals(Exec *exec)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH, SIGTSTP };
    bool has_terminal = exec->terminals != 0;
    size_t n_signals = has_terminal ? ELEMENTS_OF(signals) : 4; /* those that the guest gets */
    sigset_t set;
    int r = 0;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < n_signals; i++)
        (void)sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    for (size_t i = 0; r >= 0 && i < n_signals; i++)
        r = sd_event_add_signal(exec->event, NULL, signals[i],
                                signals[i] == SIGTSTP ? on_stop : on_signal, exec);
    /* Who reads our output may go: the terminal is to be restored then. */
    if (r >= 0 && has_terminal && signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        r = -errno;
    return r;
}

/* --- setting up --- */

static void find_terminals(Exec *exec)
{
    if (isatty(STDIN_FILENO) != 1)
        return;
    exec->terminals = EXEC_TERMINAL_STDIN;
    if (isatty(STDOUT_FILENO) == 1)
        exec->terminals |= EXEC_TERMINAL_STDOUT;
    if (isatty(STDERR_FILENO) == 1)
        exec->terminals |= EXEC_TERMINAL_STDERR;
}

static int send_request(Exec *exec, char **arguments, size_t n_arguments, Error *error)
{
    const char *term = getenv("TERM");
    char variable[TERM_SIZE_MAX + sizeof("TERM=")];
    _cleanup_free_ ExecRequest *request = calloc(1, sizeof(*request));
    _cleanup_free_ uint8_t *body = malloc(EXEC_REQUEST_SIZE_MAX);
    _cleanup_free_ uint8_t *bytes = malloc(EXEC_FRAME_SIZE_MAX);
    if (!request || !body || !bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    request->terminals = exec->terminals;
    request->n_arguments = n_arguments;
    for (size_t i = 0; i < n_arguments; i++)
        request->arguments[i] = arguments[i];
    if (exec->terminals != 0) {
        terminal_get_size(&exec->terminal, &request->window.rows, &request->window.columns);
        if (term && strlen(term) <= TERM_SIZE_MAX) {
            (void)snprintf(variable, sizeof(variable), "TERM=%s", term);
            request->variables[request->n_variables++] = variable;
        }
    }
    int size = exec_request_encode(request, body);
    if (size < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the command is longer than %d bytes",
                         EXEC_REQUEST_SIZE_MAX);
    size =
        exec_frame_encode(&(ExecFrame){ .type = EXEC_REQUEST, .bytes = body, .size = (size_t)size },
                          bytes, EXEC_FRAME_SIZE_MAX);
    assert(size > 0);
    stream_sink_write(exec->sending, bytes, (size_t)size);
    return 0;
}

static int set_up_loop(Exec *exec)
{
    static const StreamSourceHandlers input = { .on_data = on_input, .on_end = on_input_end };
    static const StreamSourceHandlers frames = { .on_data = on_frames,
                                                 .on_end = on_connection_end };

    exec->writing_fd = fcntl(exec->connection_fd, F_DUPFD_CLOEXEC, 0);
    if (exec->writing_fd < 0)
        return -errno;
    int r = sd_event_new(&exec->event);
    if (r >= 0)
        r = watch_signals(exec);
    if (r >= 0)
        r = stream_sink_new(exec->event, exec->writing_fd, on_sent, exec, &exec->sending);
    if (r >= 0)
        r = stream_sink_new(exec->event, STDOUT_FILENO, on_progress, exec, &exec->output);
    if (r >= 0)
        r = stream_sink_new(exec->event, STDERR_FILENO, on_progress, exec, &exec->errors);
    if (r >= 0)
        r = stream_source_new(exec->event, exec->connection_fd, &frames, exec, &exec->connection);
    if (r >= 0)
        r = stream_source_new(exec->event, STDIN_FILENO, &input, exec, &exec->input);
    if (r >= 0 && exec->terminals != 0)
        r = terminal_set_raw(&exec->terminal, get_kept(exec));
    return r;
}

static int connect_to_guest(Exec *exec, const Options *options, Error *error)
{
    Error cause = ERROR_INIT;

    int r = vm_stream_connect(options, exec->vm, EXEC_VSOCK_PORT, &exec->connection_fd, &cause);
    if (r < 0 && cause.kind == ERROR_CONNECTION_REFUSED) {
        error_clear(&cause);
        return error_set(error, ERROR_CONNECTION_REFUSED,
                         "VM %s takes no commands: that takes a payload that runs, and debug_level "
                         "\"full\" for an app, or else virtualizationd.debug=1 in params",
                         exec->vm);
    }
    error_move(error, &cause);
    return r;
}

static int run(Exec *exec, const Options *options, Error *error)
{
    int r = connect_to_guest(exec, options, error);
    if (r < 0)
        return r;
    find_terminals(exec);
    r = set_up_loop(exec);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    r = send_request(exec, options->arguments + 1, options->n_arguments - 1, error);
    if (r < 0)
        return r;
    r = sd_event_loop(exec->event);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot wait for the command");
    if (exec->error.kind == ERROR_NONE)
        return exec->status;
    r = error_kind_to_errno(exec->error.kind);
    error_move(error, &exec->error);
    return -abs(r);
}

static int check_usage(const Options *options, DetachKey *ret_detach, Error *error)
{
    if (options->arguments[1][0] == '\0')
        return error_set(error, ERROR_INVALID_ARGUMENT, "the name of the command is empty");
    if (options->n_arguments - 1 > EXEC_ARGUMENTS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the command has more than %d arguments",
                         EXEC_ARGUMENTS_MAX);
    return detach_key_init(ret_detach, options->escape, error);
}

int verb_exec(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    DetachKey detach;

    if (check_usage(options, &detach, &error) < 0) {
        output_error(&error);
        return EXIT_STATUS_USAGE;
    }
    Exec *exec = calloc(1, sizeof(*exec));
    if (!exec) {
        output_diagnostic("out of memory");
        return EXIT_STATUS_RUN_FAILED;
    }

    exec->detach = detach;
    exec->vm = options->arguments[0];
    exec->connection_fd = exec->writing_fd = -EBADF;
    exec->window = EXEC_STDIN_WINDOW;
    terminal_init(&exec->terminal, STDIN_FILENO);
    int r = run(exec, options, &error);
    exec_free(exec); /* before anything is printed: the terminal is as it was */
    if (r >= 0)
        return r;
    output_error(&error);
    return (int)exit_status_of_run_from_error(error.kind);
}
