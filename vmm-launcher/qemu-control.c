/* SPDX-License-Identifier: Apache-2.0 */
/* QMP: one JSON object a line. A guest may have taken QEMU over, so every line is bounded, strictly
 * parsed and of no effect unless it is expected: the worst that it can say is how it ends. */
#include "vmm-launcher/qemu.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/log.h"
#include "vmm-launcher/template-root.h"

#define LINE_MAX_SIZE    65536
#define LINE_DEPTH_MAX   16
#define COMMANDS_MAX     8  /* waiting for their answers */
#define LINES_A_TURN_MAX 64 /* before other event sources get theirs */
#define READ_SIZE        4096
#define LINE_SENT_MAX    96
#define SIGNAL_MAX       64

typedef enum QmpCommand {
    QMP_CAPABILITIES,
    QMP_CONT,
    QMP_STOP,
    QMP_SYSTEM_POWERDOWN,
    QMP_BALLOON,
    QMP_COMMAND_MAX,
} QmpCommand;

/* But for QMP_BALLOON, which has a number in it. */
static const char *const command_lines[QMP_COMMAND_MAX] = {
    [QMP_CAPABILITIES] = "{\"execute\":\"qmp_capabilities\"}\n",
    [QMP_CONT] = "{\"execute\":\"cont\"}\n",
    [QMP_STOP] = "{\"execute\":\"stop\"}\n",
    [QMP_SYSTEM_POWERDOWN] = "{\"execute\":\"system_powerdown\"}\n",
};

struct VmmControl {
    int fd;
    sd_event_source *io;
    const VmmControlHandlers *handlers;
    void *userdata;
    bool paused; /* no cont after the greeting */
    bool greeted;
    bool running; /* handlers->running was called */
    bool failed;
    uint64_t guest_memory_bytes; /* of the last QMP_BALLOON */
    VmmEnd end;
    QmpCommand waiting[COMMANDS_MAX]; /* in the order they were sent */
    size_t n_waiting;
    QmpCommand held[COMMANDS_MAX]; /* asked for before QEMU was ready for them */
    size_t n_held;
    char *line; /* what has come of the line that is being read */
    size_t line_size;
};

static void control_fail(VmmControl *control, const char *sentence)
{
    if (control->failed)
        return;
    control->failed = true;
    control->io = sd_event_source_disable_unref(control->io);
    control->handlers->failed(control->userdata, sentence);
}

/* Returns the size in bytes. */
static size_t write_line(const VmmControl *control,
                         QmpCommand command,
                         char line[static LINE_SENT_MAX])
{
    int n = command == QMP_BALLOON
                ? snprintf(line, LINE_SENT_MAX,
                           "{\"execute\":\"balloon\",\"arguments\":{\"value\":%" PRIu64 "}}\n",
                           control->guest_memory_bytes)
                : snprintf(line, LINE_SENT_MAX, "%s", command_lines[command]);

    return (size_t)n; /* all of them fit */
}

static void control_send(VmmControl *control, QmpCommand command)
{
    char line[LINE_SENT_MAX];

    size_t size = write_line(control, command, line);

    if (control->failed)
        return;
    if (control->n_waiting == COMMANDS_MAX) {
        control_fail(control, "QEMU does not answer its control connection");
        return;
    }
    /* A few dozen bytes always fit an empty socket buffer; when they do not, QEMU has stopped
     * reading. */
    if (send(control->fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) {
        control_fail(control, "QEMU does not read its control connection");
        return;
    }
    control->waiting[control->n_waiting++] = command;
}

/* QEMU answers any command before qmp_capabilities with an error, and the first cont would undo a
 * stop: until the VM runs, requests are held. */
static void control_request(VmmControl *control, QmpCommand command)
{
    if (control->running)
        control_send(control, command);
    else if (control->n_held == COMMANDS_MAX)
        control_fail(control, "QEMU does not answer its control connection");
    else
        control->held[control->n_held++] = command;
}

static void on_running(VmmControl *control)
{
    control->running = true;
    control->handlers->running(control->userdata);
    for (size_t i = 0; i < control->n_held; i++)
        control_send(control, control->held[i]);
    control->n_held = 0;
}

static void on_answer(VmmControl *control, bool is_error)
{
    if (control->n_waiting == 0) {
        control_fail(control, "QEMU answers what nobody asked");
        return;
    }

    QmpCommand command = control->waiting[0];
    control->n_waiting--;
    memmove(control->waiting, control->waiting + 1, control->n_waiting * sizeof(QmpCommand));
    if (is_error) {
        control_fail(control, "QEMU refuses a control command");
        return;
    }

    switch (command) {
    case QMP_CAPABILITIES:
        if (control->handlers->ready(control->userdata) < 0)
            break;
        if (!control->paused)
            control_send(control, QMP_CONT);
        else
            on_running(control);
        break;
    case QMP_CONT:
        if (!control->running)
            on_running(control);
        else
            control->handlers->resumed(control->userdata);
        break;
    case QMP_STOP:
        control->handlers->suspended(control->userdata);
        break;
    case QMP_SYSTEM_POWERDOWN:
    case QMP_BALLOON:
    case QMP_COMMAND_MAX:
        break;
    }
}

static const char *get_string(struct json_object *object, const char *key)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_string))
        return "";
    return json_object_get_string(value);
}

static void on_event(VmmControl *control, struct json_object *message)
{
    static const struct {
        const char *reason; /* of QAPI's ShutdownCause */
        VmmEnd end;
    } ends[] = {
        { "guest-shutdown", VMM_END_GUEST_SHUTDOWN },
        { "guest-reset", VMM_END_GUEST_RESET },
        { "guest-panic", VMM_END_GUEST_PANIC },
        { "host-signal", VMM_END_HOST_SIGNAL },
    };
    const char *name = get_string(message, "event");
    struct json_object *data;

    /* The first word counts: a panic is followed by the shutdown that it causes. */
    if (control->end != VMM_END_UNSAID)
        return;
    if (strcmp(name, "GUEST_PANICKED") == 0) {
        control->end = VMM_END_GUEST_PANIC;
        return;
    }
    if (strcmp(name, "SHUTDOWN") != 0 || !json_object_object_get_ex(message, "data", &data) ||
        !json_object_is_type(data, json_type_object))
        return;
    for (size_t i = 0; i < ELEMENTS_OF(ends); i++) {
        if (strcmp(get_string(data, "reason"), ends[i].reason) == 0)
            control->end = ends[i].end;
    }
}

static void on_line(VmmControl *control, const char *line, size_t size)
{
    struct json_tokener *tokener = json_tokener_new_ex(LINE_DEPTH_MAX);
    struct json_object *message = NULL;
    bool is_whole = false;

    if (tokener) {
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        message = json_tokener_parse_ex(tokener, line, (int)size);
        /* It may have stopped at the end of the value. */
        is_whole = json_tokener_get_parse_end(tokener) == size;
        json_tokener_free(tokener);
    }
    if (!is_whole || !json_object_is_type(message, json_type_object)) {
        json_object_put(message);
        control_fail(control, "QEMU's control connection carries no JSON object");
        return;
    }

    if (json_object_object_get_ex(message, "event", NULL)) {
        on_event(control, message);
    } else if (json_object_object_get_ex(message, "return", NULL)) {
        on_answer(control, false);
    } else if (json_object_object_get_ex(message, "error", NULL)) {
        on_answer(control, true);
    } else if (json_object_object_get_ex(message, "QMP", NULL) && !control->greeted) {
        control->greeted = true;
        control_send(control, QMP_CAPABILITIES);
    } else {
        control_fail(control, "QEMU's control connection carries an unknown message");
    }
    json_object_put(message);
}

/* Handles the whole lines in the buffer and keeps the rest. */
static void take_lines(VmmControl *control)
{
    size_t start = 0;

    while (!control->failed) {
        char *newline = memchr(control->line + start, '\n', control->line_size - start);
        if (!newline)
            break;
        size_t size = (size_t)(newline - (control->line + start));
        on_line(control, control->line + start, size);
        start += size + 1;
    }
    control->line_size -= start;
    memmove(control->line, control->line + start, control->line_size);
}

/* Reads once. 1 when there may be more, 0 when not. */
static int read_some(VmmControl *control)
{
    if (control->line_size + READ_SIZE > LINE_MAX_SIZE) {
        control_fail(control, "QEMU's control connection carries a line that is too long");
        return 0;
    }
    char *line = realloc(control->line, control->line_size + READ_SIZE);
    if (!line) {
        control_fail(control, "no memory for QEMU's control connection");
        return 0;
    }
    control->line = line;

    /* Plain recv(): descriptors that come along are not taken. */
    ssize_t n = recv(control->fd, line + control->line_size, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        control_fail(control, "QEMU has closed its control connection");
        return 0;
    }
    control->line_size += (size_t)n;
    take_lines(control);
    if (control->line_size == 0) {
        free(control->line);
        control->line = NULL;
    }
    return !control->failed;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (void)source;
    (void)fd;
    (void)revents;
    (void)read_some(userdata);
    return 0;
}

static VmmControl *control_free(VmmControl *control)
{
    if (!control)
        return NULL;

    sd_event_source_disable_unref(control->io);
    (void)fd_close(control->fd);
    free(control->line);
    free(control);
    return NULL;
}

static int control_new(sd_event *event,
                       int fd,
                       bool paused,
                       const VmmControlHandlers *handlers,
                       void *userdata,
                       VmmControl **ret_control)
{
    VmmControl *control = calloc(1, sizeof(*control));
    if (!control) {
        (void)fd_close(fd);
        return -ENOMEM;
    }

    control->fd = fd;
    control->paused = paused;
    control->handlers = handlers;
    control->userdata = userdata;
    int r = sd_event_add_io(event, &control->io, fd, EPOLLIN, on_io, control);
    if (r < 0) {
        control_free(control);
        return r;
    }

    (void)sd_event_source_set_description(control->io, "qmp");
    *ret_control = control;
    return 0;
}

static void control_suspend(VmmControl *control)
{
    control_request(control, QMP_STOP);
}

static void control_resume(VmmControl *control)
{
    control_request(control, QMP_CONT);
}

static void control_power_button(VmmControl *control)
{
    control_request(control, QMP_SYSTEM_POWERDOWN);
}

static void control_set_guest_memory(VmmControl *control, uint64_t bytes)
{
    control->guest_memory_bytes = bytes;
    control_request(control, QMP_BALLOON);
}

static VmmEnd control_drain(VmmControl *control)
{
    for (int i = 0; i < LINES_A_TURN_MAX && !control->failed && read_some(control) > 0; i++)
        ;
    return control->end;
}

/* QEMU turns SIGTERM, SIGINT and SIGHUP into an orderly exit, and names the signal on stderr. */
static int find_signal(const char *last_lines)
{
    static const char phrase[] = "terminating on signal ";
    const char *found = strstr(last_lines, phrase);
    int signal_number;

    if (!found || sscanf(found + strlen(phrase), "%2d", &signal_number) != 1 || signal_number < 1 ||
        signal_number > SIGNAL_MAX)
        return 0;
    return signal_number;
}

const VmmBackend vmm_backend_qemu = {
    .name = "qemu",
    .path = TEMPLATE_VMM,
    .get_overhead_bytes = qemu_get_overhead_bytes,
    .build_command = qemu_build_command,
    .control_new = control_new,
    .control_free = control_free,
    .suspend = control_suspend,
    .resume = control_resume,
    .power_button = control_power_button,
    .set_guest_memory = control_set_guest_memory,
    .drain = control_drain,
    .find_signal = find_signal,
};
