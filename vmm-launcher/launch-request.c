/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/launch-request.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/text.h"

#define RECEIVE_TIMEOUT_MS 10000
#define HANG_UP_TIMEOUT_MS 5000

static int receive(int connection,
                   SupervisorMessage *ret_message,
                   int *fds,
                   size_t fds_capacity,
                   size_t *ret_n_fds,
                   Error *error)
{
    struct pollfd poll_fd = { .fd = connection, .events = POLLIN };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size;

    if (poll(&poll_fd, 1, RECEIVE_TIMEOUT_MS) <= 0)
        return error_set(error, ERROR_TIMED_OUT, "no launch request came");

    int r =
        fd_message_receive(connection, bytes, sizeof(bytes), &size, fds, fds_capacity, ret_n_fds);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot receive the launch request");
    if (supervisor_message_decode(bytes, size, ret_message) < 0) {
        fd_close_many(fds, *ret_n_fds);
        return error_set(error, ERROR_INVALID_ARGUMENT, "not a launch request");
    }
    return 0;
}

static int read_spec(int spec_fd, LaunchRequest *request, Error *error)
{
    struct stat status;

    /* Sealed, or the daemon could change it while it is read. */
    if (!memfd_is_sealed(spec_fd))
        return error_set(error, ERROR_INVALID_ARGUMENT, "the launch spec is not sealed");
    if (fstat(spec_fd, &status) < 0 || status.st_size > LAUNCH_SPEC_SIZE_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the launch spec is too large");

    size_t size = (size_t)status.st_size;
    _cleanup_free_ uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (pread(spec_fd, bytes, size, 0) != (ssize_t)size)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot read the launch spec");

    int r = launch_spec_decode(bytes, size, request->n_fds, &request->spec);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_ARGUMENT, r, "the launch spec is invalid");
    return 0;
}

static int receive_files(int connection, size_t n_fds, LaunchRequest *request, Error *error)
{
    _cleanup_free_ SupervisorMessage *message = malloc(sizeof(*message));

    if (!message)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (n_fds > LAUNCH_SPEC_FDS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a launch takes at most %d files",
                         LAUNCH_SPEC_FDS_MAX);
    request->fds = calloc(n_fds + 1, sizeof(int));
    if (!request->fds)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    while (request->n_fds < n_fds) {
        size_t received;

        int r = receive(connection, message, request->fds + request->n_fds, n_fds - request->n_fds,
                        &received, error);
        if (r < 0)
            return r;
        request->n_fds += received;
        if (message->type != SUPERVISOR_FILES || received == 0 || received != message->value)
            return error_set(error, ERROR_INVALID_ARGUMENT, "files of the launch are missing");
    }
    return 0;
}

/* How many files a job comes with; 0: the message is no job. */
static size_t count_job_files(SupervisorMessageType type)
{
    switch ((int)type) {
    case SUPERVISOR_INITIALIZE_PARTITION:
        return 1;
    case SUPERVISOR_CREATE_IDSIG:
        return 2;
    case SUPERVISOR_VERIFY_BOOT:
        return 3;
    default:
        return 0;
    }
}

/* Takes the message and its files over. */
static int take_job(SupervisorMessage **message, int *fds, size_t n_fds, LaunchRequest *request)
{
    request->fds = calloc(DISK_JOB_FILES_MAX, sizeof(int));
    if (!request->fds)
        return -ENOMEM;
    request->kind = REQUEST_DISK_JOB;
    for (; request->n_fds < n_fds; request->n_fds++)
        request->fds[request->n_fds] = take_fd(&fds[request->n_fds]);
    request->job = TAKE_PTR(*message);
    return 0;
}

/* Reads the rest of what @message begins. @fds are its files, as many as such a message has. */
static int receive_rest(int connection,
                        SupervisorMessage **message,
                        int *fds,
                        size_t n_fds,
                        LaunchRequest *request,
                        Error *error)
{
    size_t n_job_files = count_job_files((*message)->type);

    if (n_fds != (n_job_files > 0 ? n_job_files : 1))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the launch request has %zu files, not as many as belong to it", n_fds);
    if (n_job_files > 0)
        return take_job(message, fds, n_fds, request) < 0
                   ? error_set(error, ERROR_NO_MEMORY, "out of memory")
                   : 0;
    if ((*message)->type != SUPERVISOR_LAUNCH)
        return error_set(error, ERROR_INVALID_ARGUMENT, "not a launch request");
    if ((*message)->version != SUPERVISOR_PROTOCOL_VERSION)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "the launcher speaks version %d of the launch protocol and the daemon "
                         "version %u: they are of different packages, and the launcher's listener "
                         "of the older one goes when its last VM has ended",
                         SUPERVISOR_PROTOCOL_VERSION, (*message)->version);
    int r = receive_files(connection, (*message)->value, request, error);
    return r < 0 ? r : read_spec(fds[0], request, error);
}

int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error)
{
    LaunchRequest request = { 0 };
    _cleanup_free_ SupervisorMessage *message = malloc(sizeof(*message));
    int fds[DISK_JOB_FILES_MAX];
    size_t n_fds;

    if (!message)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = receive(connection, message, fds, DISK_JOB_FILES_MAX, &n_fds, error);
    if (r < 0)
        return r;
    r = receive_rest(connection, &message, fds, n_fds, &request, error);
    fd_close_many(fds, n_fds); /* those that nobody has taken */
    if (r < 0) {
        launch_request_deinit(&request);
        return r;
    }

    *ret_request = request;
    return 0;
}

int launch_request_forward_job(const LaunchRequest *request, int socket)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(request->job, bytes);

    return fd_message_send(socket, bytes, size, request->fds, request->n_fds);
}

void launch_request_answer(int connection, const Error *error)
{
    SupervisorMessage message = { .type = SUPERVISOR_ACCEPTED };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];

    if (error->kind != ERROR_NONE) {
        const char *sentence = error_get_message(error);

        message.type = SUPERVISOR_REFUSED;
        message.error_kind = error->kind;
        text_escape(sentence, strlen(sentence), message.text, sizeof(message.text));
    }
    size_t size = supervisor_message_encode(&message, bytes);
    int r = fd_message_send(connection, bytes, size, NULL, 0);
    if (r < 0)
        log_warning("the daemon does not take the answer: %s", strerror(-r));
}

void launch_request_await_hang_up(int connection)
{
    struct pollfd poll_fd = { .fd = connection, .events = POLLIN };
    char byte;

    while (poll(&poll_fd, 1, HANG_UP_TIMEOUT_MS) > 0 && recv(connection, &byte, 1, 0) > 0)
        continue;
}

void launch_request_deinit(LaunchRequest *request)
{
    launch_spec_deinit(&request->spec);
    if (request->fds)
        fd_close_many(request->fds, request->n_fds);
    free(request->fds);
    request->fds = NULL;
    request->n_fds = 0;
    free(request->job);
    request->job = NULL;
}
