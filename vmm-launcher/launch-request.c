/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/launch-request.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "protocol/supervisor-message.h"

#define RECEIVE_TIMEOUT_MS 10000

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

static int take_partition_job(const SupervisorMessage *message, int *fd, LaunchRequest *request)
{
    request->fds = calloc(1, sizeof(int));
    if (!request->fds)
        return -ENOMEM;
    request->kind = REQUEST_INITIALIZE_PARTITION;
    request->fds[request->n_fds++] = take_fd(fd);
    request->partition_type = message->value;
    request->partition_size = message->size;
    return 0;
}

int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error)
{
    LaunchRequest request = { 0 };
    _cleanup_free_ SupervisorMessage *message = malloc(sizeof(*message));
    _cleanup_close_ int fd = -EBADF;
    size_t received;

    if (!message)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = receive(connection, message, &fd, 1, &received, error);
    if (r < 0)
        return r;
    if (received != 1)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the launch request has no file");

    if (message->type == SUPERVISOR_INITIALIZE_PARTITION) {
        r = take_partition_job(message, &fd, &request);
        if (r < 0)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    } else if (message->type == SUPERVISOR_LAUNCH) {
        r = receive_files(connection, message->value, &request, error);
        if (r >= 0)
            r = read_spec(fd, &request, error);
    } else {
        return error_set(error, ERROR_INVALID_ARGUMENT, "not a launch request");
    }
    if (r < 0) {
        launch_request_deinit(&request);
        return r;
    }

    *ret_request = request;
    return 0;
}

void launch_request_deinit(LaunchRequest *request)
{
    launch_spec_deinit(&request->spec);
    if (request->fds)
        fd_close_many(request->fds, request->n_fds);
    free(request->fds);
    request->fds = NULL;
    request->n_fds = 0;
}
