/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/exec-session.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/exec-process.h"
#include "protocol/exec-message.h"

#define OUTPUT_CAPACITY (4 * EXEC_DATA_MAX)
/* Kept free by the command's output, for frames that are about something else. */
#define OUTPUT_RESERVE  (EXEC_FRAME_HEADER_SIZE + 4 + EXEC_TEXT_MAX)
#define OUTPUT_ROOM_MIN 4096 /* less is not worth a read */

enum {
    CONNECTION,
    STDIN,
    STDOUT,
    STDERR,
    TERMINAL
};

/* Bytes that are used from @start on. */
typedef struct Queue {
    uint8_t *bytes;
    size_t capacity, start, size;
} Queue;

struct ExecSession {
    int connection_fd;
    const char *directory;
    ExecProcess process;
    unsigned terminals; /* of the request */
    bool started;       /* the request was taken */
    bool input_ended;   /* no STDIN comes any more */
    bool exited;        /* the process, with wait_status */
    bool finished;      /* the last frame is among the output */
    int wait_status;
    uint32_t taken; /* bytes of STDIN that the client was not told of */
    Queue input;    /* frames as they come */
    Queue fed;      /* STDIN on its way to the process */
    Queue output;   /* frames to be sent */
    uint8_t input_bytes[EXEC_FRAME_SIZE_MAX];
    uint8_t fed_bytes[EXEC_STDIN_WINDOW];
    uint8_t output_bytes[OUTPUT_CAPACITY];
};

/* --- queues --- */

/* The free room behind the bytes, made one piece. */
static size_t queue_make_room(Queue *queue)
{
    if (queue->start > 0) {
        memmove(queue->bytes, queue->bytes + queue->start, queue->size);
        queue->start = 0;
    }
    return queue->capacity - queue->size;
}

static void queue_append(Queue *queue, const uint8_t *bytes, size_t size)
{
    assert(size <= queue_make_room(queue));
    memcpy(queue->bytes + queue->size, bytes, size);
    queue->size += size;
}

static void queue_consume(Queue *queue, size_t size)
{
    queue->size -= size;
    queue->start = queue->size > 0 ? queue->start + size : 0;
}

static bool output_has_room(const ExecSession *session)
{
    return session->output.capacity - session->output.size >= OUTPUT_RESERVE + OUTPUT_ROOM_MIN;
}

/* There is room: that of OUTPUT_RESERVE, or what the caller has looked for. */
static void put_frame(ExecSession *session, const ExecFrame *frame)
{
    Queue *output = &session->output;
    size_t room = queue_make_room(output);

    int size = exec_frame_encode(frame, output->bytes + output->size, room);
    assert(size > 0);
    output->size += (size_t)size;
}

/* --- life --- */

int exec_session_new(int connection_fd, const char *directory, ExecSession **ret_session)
{
    ExecSession *session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;

    session->connection_fd = connection_fd;
    session->directory = directory;
    session->input = (Queue){ session->input_bytes, sizeof(session->input_bytes), 0, 0 };
    session->fed = (Queue){ session->fed_bytes, sizeof(session->fed_bytes), 0, 0 };
    session->output = (Queue){ session->output_bytes, sizeof(session->output_bytes), 0, 0 };
    exec_process_init(&session->process);
    *ret_session = session;
    return 0;
}

ExecSession *exec_session_free(ExecSession *session)
{
    if (!session)
        return NULL;
    if (!session->exited)
        exec_process_kill_session(&session->process);
    exec_process_deinit(&session->process);
    (void)fd_close(session->connection_fd);
    free(session);
    return NULL;
}

static void refuse(ExecSession *session, ExecRefusal refusal, const char *text)
{
    put_frame(session, &(ExecFrame){ .type = EXEC_REFUSED,
                                     .refusal = refusal,
                                     .bytes = (const uint8_t *)text,
                                     .size = strnlen(text, EXEC_TEXT_MAX) });
    session->finished = true;
}

/* --- what the command writes --- */

/* Moves what one read gives. 1: there may be more; 0: not now; or a negative errno: never. */
static int read_output(ExecSession *session, int fd, ExecFrameType type)
{
    uint8_t bytes[EXEC_DATA_MAX];
    size_t room =
        session->output.capacity - session->output.size - OUTPUT_RESERVE - EXEC_FRAME_HEADER_SIZE;

    ssize_t n = read(fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
    if (n < 0)
        return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -errno;
    if (n == 0)
        return -ENODATA;
    put_frame(session, &(ExecFrame){ .type = type, .bytes = bytes, .size = (size_t)n });
    return 1;
}

static void forward_output(ExecSession *session, int *fd, ExecFrameType type)
{
    if (*fd >= 0 && output_has_room(session) && read_output(session, *fd, type) < 0)
        *fd = fd_close(*fd);
}

/* What comes from the terminal is shown where the client has one: for a command whose output goes
 * somewhere else, it is the echo of what is typed. */
static ExecFrameType get_terminal_type(const ExecSession *session)
{
    return session->terminals & EXEC_TERMINAL_STDOUT ? EXEC_STDOUT : EXEC_STDERR;
}

/* The command has ended: takes all that it has left, as far as there is room. */
static void drain_output(ExecSession *session, int *fd, ExecFrameType type)
{
    while (*fd >= 0 && output_has_room(session)) {
        if (read_output(session, *fd, type) <= 0)
            *fd = fd_close(*fd);
    }
}

static const char *describe(int failure, char *text, size_t capacity)
{
    (void)snprintf(text, capacity, "cannot execute it: %s", strerror(failure));
    return text;
}

static void put_end(ExecSession *session)
{
    int failure = -exec_process_read_failure(&session->process), status = session->wait_status;
    char text[EXEC_TEXT_MAX];
    ExecFrame frame = { .type = EXEC_EXITED };

    if (failure != 0) {
        refuse(session,
               failure == ENOENT || failure == ENOTDIR ? EXEC_REFUSAL_NOT_FOUND
                                                       : EXEC_REFUSAL_NOT_EXECUTABLE,
               describe(failure, text, sizeof(text)));
        return;
    }
    if (WIFSIGNALED(status))
        frame.signal = (uint32_t)WTERMSIG(status);
    else
        frame.exit_code = (uint32_t)WEXITSTATUS(status);
    put_frame(session, &frame);
    session->finished = true;
}

static void finish_if_exited(ExecSession *session)
{
    ExecProcess *process = &session->process;

    if (!session->exited || session->finished)
        return;
    drain_output(session, &process->stdout_fd, EXEC_STDOUT);
    drain_output(session, &process->stderr_fd, EXEC_STDERR);
    drain_output(session, &process->terminal_fd, get_terminal_type(session));
    if (process->stdout_fd < 0 && process->stderr_fd < 0 && process->terminal_fd < 0)
        put_end(session);
}

/* Sends what the connection takes. False when it is gone. */
static bool flush_output(ExecSession *session)
{
    Queue *output = &session->output;

    while (output->size > 0) {
        ssize_t n = send(session->connection_fd, output->bytes + output->start, output->size,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        queue_consume(output, (size_t)n);
    }
    /* The client hangs up when it has all: to do it first would lose what is still on its way,
     * should it send something. */
    if (session->finished)
        (void)shutdown(session->connection_fd, SHUT_WR);
    return true;
}

/* --- what the client sends --- */

/* Gives the command what it takes of its input, and tells the client. */
static void feed(ExecSession *session)
{
    ExecProcess *process = &session->process;
    Queue *fed = &session->fed;
    int *fd = session->terminals & EXEC_TERMINAL_STDIN ? &process->terminal_fd : &process->stdin_fd;

    while (fed->size > 0) {
        ssize_t n = *fd < 0 ? (ssize_t)fed->size : write(*fd, fed->bytes + fed->start, fed->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || (n < 0 && errno == EAGAIN))
            break;
        if (n < 0) { /* nobody reads it any more: the rest is dropped */
            process->stdin_fd = fd_close(process->stdin_fd);
            n = (ssize_t)fed->size;
        }
        queue_consume(fed, (size_t)n);
        session->taken += (uint32_t)n;
    }
    if (fed->size == 0 && session->input_ended)
        process->stdin_fd = fd_close(process->stdin_fd);
    if (session->taken >= EXEC_DATA_MAX && !session->finished && output_has_room(session)) {
        put_frame(session, &(ExecFrame){ .type = EXEC_STDIN_TAKEN, .taken = session->taken });
        session->taken = 0;
    }
}

static int start(ExecSession *session, const ExecFrame *frame)
{
    ExecRequest request;
    char text[EXEC_TEXT_MAX];

    if (frame->type != EXEC_REQUEST)
        return -EBADMSG;
    session->started = true;
    int r = exec_request_decode(frame->bytes, frame->size, &request);
    if (r == -EPROTONOSUPPORT) {
        refuse(session, EXEC_REFUSAL_FAILED, "the guest speaks another version of the protocol");
        return 0;
    }
    if (r < 0)
        return r;
    session->terminals = request.terminals;
    r = exec_process_start(&session->process, &request, session->directory);
    if (r < 0)
        refuse(session, EXEC_REFUSAL_FAILED, describe(-r, text, sizeof(text)));
    return 0;
}

/* To the command, which is not reaped, and what it has started in its process group. */
static void send_signal(pid_t pid, int number)
{
    /* For a moment it has no group of its own. */
    if (kill(-pid, number) < 0 && errno == ESRCH)
        (void)kill(pid, number);
}

static int take_frame(ExecSession *session, const ExecFrame *frame)
{
    if (!session->started)
        return start(session, frame);
    if (!exec_frame_is_from_client(frame->type) || frame->type == EXEC_REQUEST)
        return -EBADMSG;
    if (session->finished || session->exited)
        return 0; /* it was on its way */
    if (frame->type == EXEC_STDIN) {
        /* A client that sends more than it may. */
        if (session->input_ended || frame->size > session->fed.capacity - session->fed.size)
            return -EBADMSG;
        queue_append(&session->fed, frame->bytes, frame->size);
    } else if (frame->type == EXEC_STDIN_END) {
        session->input_ended = true;
    } else if (frame->type == EXEC_WINDOW) {
        exec_process_set_window(&session->process, frame->window);
    } else {
        send_signal(session->process.pid, (int)frame->signal);
    }
    return 0;
}

static int take_input(ExecSession *session)
{
    Queue *input = &session->input;
    size_t room = queue_make_room(input);
    ExecFrame frame;
    int size;

    ssize_t n = recv(session->connection_fd, input->bytes + input->size, room, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET;
    input->size += (size_t)n;
    while ((size = exec_frame_decode(input->bytes + input->start, input->size, &frame)) > 0) {
        int r = take_frame(session, &frame);
        if (r < 0)
            return r;
        queue_consume(input, (size_t)size);
    }
    return size;
}

/* --- in the loop --- */

void exec_session_prepare_poll(const ExecSession *session,
                               struct pollfd entries[static EXEC_SESSION_POLL_ENTRIES])
{
    const ExecProcess *process = &session->process;
    bool has_room = output_has_room(session) && !session->exited;
    bool is_fed = session->fed.size > 0;
    bool feeds_terminal = is_fed && session->terminals & EXEC_TERMINAL_STDIN;
    short terminal_events = (short)((has_room ? POLLIN : 0) | (feeds_terminal ? POLLOUT : 0));

    /* One with no events would be woken by a hang-up again and again. */
    entries[CONNECTION] =
        (struct pollfd){ .fd = session->connection_fd,
                         .events = (short)(POLLIN | (session->output.size > 0 ? POLLOUT : 0)) };
    entries[STDIN] =
        (struct pollfd){ .fd = is_fed ? process->stdin_fd : -EBADF, .events = POLLOUT };
    entries[STDOUT] =
        (struct pollfd){ .fd = has_room ? process->stdout_fd : -EBADF, .events = POLLIN };
    entries[STDERR] =
        (struct pollfd){ .fd = has_room ? process->stderr_fd : -EBADF, .events = POLLIN };
    entries[TERMINAL] = (struct pollfd){ .fd = terminal_events != 0 ? process->terminal_fd : -EBADF,
                                         .events = terminal_events };
}

bool exec_session_dispatch(ExecSession *session,
                           const struct pollfd entries[static EXEC_SESSION_POLL_ENTRIES])
{
    ExecProcess *process = &session->process;

    if (entries[STDOUT].revents)
        forward_output(session, &process->stdout_fd, EXEC_STDOUT);
    if (entries[STDERR].revents)
        forward_output(session, &process->stderr_fd, EXEC_STDERR);
    if (entries[TERMINAL].revents & (POLLIN | POLLHUP | POLLERR))
        forward_output(session, &process->terminal_fd, get_terminal_type(session));
    if (entries[CONNECTION].revents & (POLLIN | POLLHUP | POLLERR) && take_input(session) < 0)
        return false;
    /* Room first: what has waited for it may have nothing else to be woken by. */
    if (!flush_output(session))
        return false;
    feed(session);
    finish_if_exited(session);
    return flush_output(session);
}

bool exec_session_take_exit(ExecSession *session, pid_t pid, int wait_status)
{
    if (session->process.pid != pid || session->exited)
        return false;
    session->exited = true;
    session->wait_status = wait_status;
    exec_process_kill_session(&session->process);
    session->fed.size = 0;
    finish_if_exited(session);
    (void)flush_output(session); /* a connection that is gone shows in poll(2) */
    return true;
}
