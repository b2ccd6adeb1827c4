/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/vhost-user-socket.h"

#include <errno.h>

#include "common/fd-message.h"
#include "common/fd.h"

void vhost_user_socket_init(VhostUserSocket *socket, int fd)
{
    *socket = (VhostUserSocket){ .fd = fd };
}

void vhost_user_socket_deinit(VhostUserSocket *socket)
{
    fd_close_many(socket->fds, socket->n_fds);
    socket->n_fds = 0;
    socket->fd = fd_close(socket->fd);
}

/* Receives up to @wanted bytes of the current message in all. 1 when they are there. */
static int receive_up_to(VhostUserSocket *socket, size_t wanted, Error *error)
{
    while (socket->received < wanted) {
        int fds[VHOST_USER_FDS_MAX];
        size_t size, n_fds;

        int r =
            fd_message_receive(socket->fd, socket->buffer + socket->received,
                               wanted - socket->received, &size, fds, VHOST_USER_FDS_MAX, &n_fds);
        if (r == -EAGAIN)
            return 0;
        if (r == -EBADMSG)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "a vhost-user message has too many descriptors");
        if (r < 0)
            return r;
        if (size == 0)
            return -ECONNRESET;

        /* Descriptors belong to the first byte of a message. */
        if (n_fds > 0 && socket->received > 0) {
            fd_close_many(fds, n_fds);
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "descriptors arrived in the middle of a vhost-user message");
        }
        for (size_t i = 0; i < n_fds; i++)
            socket->fds[socket->n_fds++] = fds[i];
        socket->received += size;
    }
    return 1;
}

int vhost_user_socket_receive(VhostUserSocket *socket, VhostUserRequest *ret_request, Error *error)
{
    int r;

    if (socket->received < VHOST_USER_HEADER_SIZE) {
        r = receive_up_to(socket, VHOST_USER_HEADER_SIZE, error);
        if (r <= 0)
            return r;

        r = vhost_user_header_decode(socket->buffer, &socket->header, error);
        if (r < 0)
            return r;
    }

    r = receive_up_to(socket, VHOST_USER_HEADER_SIZE + socket->header.payload_size, error);
    if (r <= 0)
        return r;

    size_t n_fds = socket->n_fds;
    socket->received = 0;
    socket->n_fds = 0;
    r = vhost_user_request_decode(&socket->header, socket->buffer + VHOST_USER_HEADER_SIZE,
                                  socket->fds, n_fds, ret_request, error);
    return r < 0 ? r : 1;
}

int vhost_user_socket_send(VhostUserSocket *socket, const VhostUserReply *reply, Error *error)
{
    int r = fd_message_send(socket->fd, reply->bytes, reply->size, NULL, 0);
    if (r == -EPIPE)
        return -ECONNRESET;
    if (r < 0 && r != -ECONNRESET)
        return error_set_errno(error, ERROR_FAILED, r, "the front-end takes no reply");
    return r;
}
