/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest-link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "common/fd.h"
#include "guest/deadline.h"

int guest_link_init(GuestLink *link, Error *error)
{
    unsigned cid = VMADDR_CID_ANY;

    _cleanup_close_ int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, errno, "cannot open /dev/vsock");
    if (ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, errno, "cannot get the guest's CID");
    /* Without a device the kernel answers "any". */
    if (cid == VMADDR_CID_ANY || cid <= VMADDR_CID_HOST)
        return error_set(error, ERROR_UNAVAILABLE, "the machine has no vsock device");

    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK,
        .svm_cid = GUEST_LINK_HOST_CID,
        .svm_port = cid,
    };
    *link = (GuestLink){ .address_size = sizeof(address) };
    memcpy(&link->address, &address, sizeof(address));
    return 0;
}

static int link_connect(const GuestLink *link, Deadline deadline, int *ret_fd)
{
    const struct timeval limit = { .tv_sec = GUEST_LINK_TIMEOUT_MSEC / 1000 };
    int socket_error = 0;
    socklen_t size = sizeof(socket_error);

    _cleanup_close_ int fd =
        socket(link->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* The kernel gives up after 2 s of its own, which a busy host may need (vsock(7)). */
    if (link->address.ss_family == AF_VSOCK &&
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit)) < 0)
        return -errno;

    if (connect(fd, (const struct sockaddr *)&link->address, link->address_size) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        int r = deadline_wait_for_fd(deadline, fd, POLLOUT);
        if (r < 0)
            return r;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &socket_error, &size) < 0)
            return -errno;
        if (socket_error != 0)
            return -socket_error;
    }

    *ret_fd = take_fd(&fd);
    return 0;
}

static int link_send(int fd, const char *data, size_t size, Deadline deadline)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n >= 0) {
            data += n;
            size -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        int r = deadline_wait_for_fd(deadline, fd, POLLOUT);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Reads up to and with the NUL that ends the one reply; the host sends nothing behind it. */
static int link_receive_reply(int fd, Deadline deadline, GuestReply *ret_reply, Error *error)
{
    char frame[GUEST_FRAME_SIZE_MAX + 1];
    size_t size = 0;

    while (size == 0 || frame[size - 1] != '\0') {
        if (size == sizeof(frame))
            return error_set_errno(error, ERROR_FAILED, EBADMSG, "the reply is too long");

        ssize_t n = read(fd, frame + size, sizeof(frame) - size);
        if (n > 0) {
            size += (size_t)n;
            continue;
        }
        if (n == 0)
            return error_set_errno(error, ERROR_FAILED, ECONNRESET, "no reply");
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return error_set_errno(error, ERROR_FAILED, errno, "no reply");
        int r = deadline_wait_for_fd(deadline, fd, POLLIN);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "no reply");
    }
    return guest_reply_decode(frame, size - 1, ret_reply, error);
}

/* Connects and sends @call. */
static int link_begin(
    const GuestLink *link, const GuestCall *call, Deadline deadline, int *ret_fd, Error *error)
{
    char frame[GUEST_FRAME_SIZE_MAX + 1];
    _cleanup_close_ int fd = -EBADF;

    int size = guest_call_encode(call, frame, sizeof(frame));
    if (size < 0)
        return error_set_errno(error, ERROR_FAILED, size, "cannot encode the call");

    int r = link_connect(link, deadline, &fd);
    if (r < 0)
        return error_set_errno(error, ERROR_CONNECTION_REFUSED, r, "cannot reach the host");
    r = link_send(fd, frame, (size_t)size, deadline);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot send the call");

    *ret_fd = take_fd(&fd);
    return 0;
}

static int reply_check(const GuestReply *reply, Error *error)
{
    if (reply->error_name[0] == '\0')
        return 0;
    return error_set_errno(error, ERROR_FAILED, EREMOTEIO, "the host answers %s (%s)",
                           reply->error_name, reply->error_message);
}

/* Makes @call up to its first reply, and leaves the connection open. */
static int link_call(const GuestLink *link, const GuestCall *call, int *ret_fd, Error *error)
{
    Deadline deadline = deadline_in_msec(GUEST_LINK_TIMEOUT_MSEC);
    _cleanup_close_ int fd = -EBADF;
    GuestReply reply;

    int r = link_begin(link, call, deadline, &fd, error);
    if (r < 0)
        return r;
    r = link_receive_reply(fd, deadline, &reply, error);
    if (r < 0)
        return r;
    r = reply_check(&reply, error);
    if (r < 0)
        return r;

    *ret_fd = take_fd(&fd);
    return 0;
}

int guest_link_call(const GuestLink *link, const GuestCall *call, Error *error)
{
    _cleanup_close_ int fd = -EBADF;

    assert(call->type != GUEST_CALL_SUBSCRIBE && call->type != GUEST_CALL_OPEN_STREAM);
    return link_call(link, call, &fd, error);
}

int guest_link_open_stream(const GuestLink *link, const char *name, int *ret_fd, Error *error)
{
    GuestCall call = { .type = GUEST_CALL_OPEN_STREAM };

    assert(strlen(name) < sizeof(call.stream_name));
    memcpy(call.stream_name, name, strlen(name) + 1);
    return link_call(link, &call, ret_fd, error);
}

int guest_subscription_open(GuestSubscription *subscription, const GuestLink *link, Error *error)
{
    const GuestCall call = { .type = GUEST_CALL_SUBSCRIBE };
    Deadline deadline = deadline_in_msec(GUEST_LINK_TIMEOUT_MSEC);

    subscription->size = 0;
    return link_begin(link, &call, deadline, &subscription->fd, error);
}

void guest_subscription_close(GuestSubscription *subscription)
{
    subscription->fd = fd_close(subscription->fd);
}

int guest_subscription_read(GuestSubscription *subscription,
                            GuestCommand *ret_command,
                            Error *error)
{
    GuestReply reply;
    char *end;

    while (!(end = memchr(subscription->buffer, '\0', subscription->size))) {
        if (subscription->size == sizeof(subscription->buffer))
            return error_set_errno(error, ERROR_FAILED, EBADMSG, "the reply is too long");

        ssize_t n = read(subscription->fd, subscription->buffer + subscription->size,
                         sizeof(subscription->buffer) - subscription->size);
        if (n > 0)
            subscription->size += (size_t)n;
        else if (n == 0)
            return error_set_errno(error, ERROR_FAILED, ECONNRESET, "the host hung up");
        else if (errno == EAGAIN)
            return 0;
        else if (errno != EINTR)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot read commands");
    }

    size_t frame_size = (size_t)(end - subscription->buffer);
    int r = guest_reply_decode(subscription->buffer, frame_size, &reply, error);
    if (r < 0)
        return r;
    r = reply_check(&reply, error);
    if (r < 0)
        return r;

    subscription->size -= frame_size + 1;
    memmove(subscription->buffer, end + 1, subscription->size);
    *ret_command = reply.command;
    return 1;
}
