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
                   SupervisorMessageType type,
                   int *fds,
                   size_t fds_capacity,
                   size_t *ret_n_fds,
                   uint32_t *ret_value,
                   Error *error)
{
    struct pollfd poll_fd = { .fd = connection, .events = POLLIN };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    _cleanup_free_ SupervisorMessage *message = malloc(sizeof(*message));
    size_t size;

    if (!message)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (poll(&poll_fd, 1, RECEIVE_TIMEOUT_MS) <= 0)
        return error_set(error, ERROR_TIMED_OUT, "no launch request came");

    int r =
        fd_message_receive(connection, bytes, sizeof(bytes), &size, fds, fds_capacity, ret_n_fds);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot receive the launch request");
    if (supervisor_message_decode(bytes, size, message) < 0 || message->type != type) {
        fd_close_many(fds, *ret_n_fds);
        return error_set(error, ERROR_INVALID_ARGUMENT, "not a launch request");
    }
    *ret_value = message->value;
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
    if (n_fds > LAUNCH_SPEC_FDS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a launch takes at most %d files",
                         LAUNCH_SPEC_FDS_MAX);
    request->fds = calloc(n_fds + 1, sizeof(int));
    if (!request->fds)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    while (request->n_fds < n_fds) {
        uint32_t announced;
        size_t received;

        int r = receive(connection, SUPERVISOR_FILES, request->fds + request->n_fds,
                        n_fds - request->n_fds, &received, &announced, error);
        if (r < 0)
            return r;
        request->n_fds += received;
        if (received == 0 || received != announced)
            return error_set(error, ERROR_INVALID_ARGUMENT, "files of the launch are missing");
    }
    return 0;
}

int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error)
{
    LaunchRequest request = { 0 };
    _cleanup_close_ int spec_fd = -EBADF;
    uint32_t announced;
    size_t received;

    int r = receive(connection, SUPERVISOR_LAUNCH, &spec_fd, 1, &received, &announced, error);
    if (r < 0)
        return r;
    if (received != 1)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the launch request has no spec");

    r = receive_files(connection, announced, &request, error);
    if (r >= 0)
        r = read_spec(spec_fd, &request, error);
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
