/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd-message.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/fd.h"

typedef union ControlBuffer {
    struct cmsghdr header; /* for the alignment */
    char bytes[CMSG_SPACE(sizeof(int) * FD_MESSAGE_FDS_MAX)];
} ControlBuffer;

int fd_message_send(int socket_fd, const void *data, size_t size, const int *fds, size_t n_fds)
{
    ControlBuffer control;
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    assert(n_fds <= FD_MESSAGE_FDS_MAX);
    if (n_fds > 0) {
        memset(&control, 0, CMSG_SPACE(sizeof(int) * n_fds));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
    }

    ssize_t n;
    do
        n = sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return 0;
}

/* Moves the descriptors of @message into @fds; closes those there is no room for. */
static int collect_fds(struct msghdr *message, int *fds, size_t fds_capacity, size_t *ret_n_fds)
{
    size_t n_fds = 0;
    int r = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;

        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (n_fds < fds_capacity) {
                fds[n_fds++] = fd;
            } else {
                (void)fd_close(fd);
                r = -EBADMSG;
            }
        }
    }
    *ret_n_fds = n_fds;
    return r;
}

int fd_message_receive(int socket_fd,
                       void *data,
                       size_t capacity,
                       size_t *ret_size,
                       int *fds,
                       size_t fds_capacity,
                       size_t *ret_n_fds)
{
    ControlBuffer control;
    struct iovec part = { .iov_base = data, .iov_len = capacity };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    size_t n_fds;

    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);

    ssize_t n;
    do
        n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    int r = collect_fds(&message, fds, fds_capacity, &n_fds);
    if (r < 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        fd_close_many(fds, n_fds);
        return -EBADMSG;
    }

    *ret_size = (size_t)n;
    *ret_n_fds = n_fds;
    return 0;
}
