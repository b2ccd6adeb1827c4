/* SPDX-License-Identifier: Apache-2.0 */
/* A serial line has no size, so the terminal's is not told to the guest. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "vmctl/detach-key.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/stream-relay.h"
#include "vmctl/terminal.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-stream.h"

typedef struct Console {
    sd_event *event;
    int stream_fd,
        writing_fd; /* of one socket; what is written goes nowhere when it is read-only */
    bool read_only, has_terminal, detached;
    int signal; /* that has ended it */
    Terminal terminal;
    DetachKey detach;
    StreamRelay *up, *down; /* to the guest, unless there is nothing to say; and from it */
} Console;

static void console_deinit(Console *console)
{
    terminal_restore(&console->terminal);
    stream_relay_free(console->up);
    stream_relay_free(console->down);
    (void)fd_close(console->stream_fd);
    (void)fd_close(console->writing_fd);
    sd_event_unref(console->event);
}

static void leave(Console *console)
{
    (void)sd_event_exit(console->event, 0); /* cannot fail on a live loop */
}

/* The part of the keys that stands before the one that detaches. */
static size_t inspect_keys(void *userdata, const uint8_t *bytes, size_t size)
{
    Console *console = userdata;
    uint64_t now = 0;

    (void)sd_event_now(console->event, CLOCK_MONOTONIC, &now); /* cannot fail in a handler */
    size_t passed = detach_key_inspect(&console->detach, bytes, size, now);
    console->detached = passed < size;
    return passed;
}

static void on_up_done(void *userdata)
{
    Console *console = userdata;

    if (console->has_terminal) /* detached, or gone */
        leave(console);
    else
        (void)shutdown(console->stream_fd, SHUT_WR); /* another may type; we read on */
}

static void on_down_done(void *userdata)
{
    leave(userdata);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Console *console = userdata;

    (void)source;
    console->signal = (int)info->ssi_signo;
    leave(console);
    return 0;
}

static unsigned get_kept(const Console *console)
{
    return (console->read_only ? TERMINAL_KEEP_SIGNALS : 0) |
           (isatty(STDOUT_FILENO) == 1 ? 0 : TERMINAL_KEEP_OUTPUT);
}

/* The shell has the terminal as it was, until we go on. */
static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Console *console = userdata;

    (void)source;
    (void)info;
    terminal_restore(&console->terminal);
    (void)kill(getpid(), SIGSTOP);
    (void)terminal_set_raw(&console->terminal, get_kept(console)); /* if it is gone, it ends */
    return 0;
}

/* Whatever ends us, the terminal is to be as it was. */
static int watch_signals(Console *console)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP };
    sigset_t set;
    int r = 0;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTS_OF(signals); i++)
        (void)sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(signals); i++)
        r = sd_event_add_signal(console->event, NULL, signals[i],
                                signals[i] == SIGTSTP ? on_stop : on_signal, console);
    return r;
}

/* Where keys go: to the guest, or, if it is to have none, nowhere. */
static int open_writing(Console *console)
{
    console->writing_fd = console->read_only ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                                             : fcntl(console->stream_fd, F_DUPFD_CLOEXEC, 0);
    return console->writing_fd < 0 ? -errno : 0;
}

static int set_up(Console *console)
{
    static const StreamRelayHandlers keys = { .inspect = inspect_keys, .on_done = on_up_done };
    static const StreamRelayHandlers plain = { .on_done = on_up_done };
    static const StreamRelayHandlers down = { .on_done = on_down_done };

    console->has_terminal = isatty(STDIN_FILENO) == 1;
    int r = sd_event_new(&console->event);
    if (r >= 0 && console->has_terminal)
        r = watch_signals(console);
    if (r >= 0 && (console->has_terminal || !console->read_only))
        r = open_writing(console);
    if (r >= 0 && console->writing_fd >= 0)
        r = stream_relay_new(console->event, STDIN_FILENO, console->writing_fd,
                             console->has_terminal ? &keys : &plain, console, &console->up);
    if (r >= 0)
        r = stream_relay_new(console->event, console->stream_fd, STDOUT_FILENO, &down, console,
                             &console->down);
    if (r >= 0 && console->has_terminal)
        r = terminal_set_raw(&console->terminal, get_kept(console));
    return r;
}

static int copy(Console *console, const char *vm, Error *error)
{
    char key[64];

    int r = set_up(console);
    if (r >= 0 && console->has_terminal) {
        /* A raw terminal starts no line by itself. */
        output_diagnostic("console of VM %s; %s leaves it\r", vm,
                          detach_key_describe(&console->detach, key));
    }
    if (r >= 0)
        r = sd_event_loop(console->event);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy the console");
    r = stream_relay_get_error(console->down);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot copy to standard output");
    return 0;
}

static int open_console(Console *console, const Options *options, Error *error)
{
    const char *mode = options->read_only ? "read-only"
                       : options->force   ? "take-over"
                                          : "read-write";

    Error cause = ERROR_INIT;

    if (options->read_only && options->force)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--read-only' takes nobody's place: it does not go with '--force'");
    int r = detach_key_init(&console->detach, options->escape, error);
    if (r < 0)
        return r;
    console->read_only = options->read_only;
    r = vm_stream_open(options, options->arguments[0], "OpenConsole", mode, &console->stream_fd,
                       &cause);
    if (r < 0 && cause.kind == ERROR_INVALID_STATE && strstr(error_get_message(&cause), "is taken"))
        (void)error_set(error, ERROR_INVALID_STATE,
                        "the console of VM %s is taken, somebody types there: --read-only reads "
                        "along, --force takes it over",
                        options->arguments[0]);
    error_move(error, &cause);
    return r;
}

int verb_console(const Options *options)
{
    Console console = { .stream_fd = -EBADF, .writing_fd = -EBADF };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    terminal_init(&console.terminal, STDIN_FILENO);
    int r = open_console(&console, options, &error);
    if (r >= 0)
        r = copy(&console, options->arguments[0], &error);
    int signal_number = console.signal;
    bool has_terminal = console.has_terminal;
    console_deinit(&console); /* before anything is printed: the terminal is as it was */
    if (has_terminal && r >= 0)
        (void)fputc('\n', stderr);
    if (r < 0)
        output_error(&error);
    return signal_number > 0 ? 128 + signal_number : (int)exit_status_from_error(error.kind);
}
