/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/ready-socket.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"

bool ready_message_is_ready(const char *message, size_t size)
{
    static const char line[] = "READY=1";
    const size_t line_size = sizeof(line) - 1;

    for (size_t start = 0; start < size;) {
        const char *newline = memchr(message + start, '\n', size - start);
        size_t end = newline ? (size_t)(newline - message) : size;

        if (end - start == line_size && memcmp(message + start, line, line_size) == 0)
            return true;
        start = end + 1;
    }
    return false;
}

int ready_socket_open(const char *path, uid_t uid, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int on = 1;

    assert(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
        chown(path, uid, uid) < 0)
        return -errno;

    *ret_fd = take_fd(&fd);
    return 0;
}

/* True when the kernel vouches that @uid sent the message. */
static bool message_is_from(struct msghdr *message, uid_t uid)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    struct ucred credentials;

    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS ||
        header->cmsg_len != CMSG_LEN(sizeof(credentials)))
        return false;
    memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
    return credentials.uid == uid;
}

int ready_socket_receive(int fd, uid_t uid)
{
    bool ready = false;

    for (;;) {
        char text[READY_MESSAGE_SIZE_MAX];
        union {
            struct cmsghdr header; /* for the alignment */
            char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec part = { .iov_base = text, .iov_len = sizeof(text) };
        struct msghdr message = { .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof(control) };

        /* Descriptors do not fit beside the credentials; the kernel closes them. */
        ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? ready : -errno;
        if (!(message.msg_flags & MSG_TRUNC) && message_is_from(&message, uid) &&
            ready_message_is_ready(text, (size_t)n))
            ready = true;
    }
}
