/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"

#define LISTENER PAYLOAD_SERVICE_CONNECTIONS_MAX /* its entry, behind the connections' */

struct PayloadService {
    int listener_fd;
    int connections[PAYLOAD_SERVICE_CONNECTIONS_MAX]; /* negative: free */
    uid_t uid;
    const PayloadServiceCalls *calls;
    void *userdata;
};

PayloadService *payload_service_free(PayloadService *service)
{
    if (!service)
        return NULL;
    (void)fd_close(service->listener_fd);
    for (size_t i = 0; i < ELEMENTS_OF(service->connections); i++)
        (void)fd_close(service->connections[i]);
    free(service);
    return NULL;
}

int payload_service_open(const char *path,
                         uid_t uid,
                         const PayloadServiceCalls *calls,
                         void *userdata,
                         PayloadService **ret_service)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    assert(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    _cleanup_(payload_service_freep) PayloadService *service = calloc(1, sizeof(*service));
    if (!service)
        return -ENOMEM;
    service->uid = uid;
    service->calls = calls;
    service->userdata = userdata;
    for (size_t i = 0; i < ELEMENTS_OF(service->connections); i++)
        service->connections[i] = -EBADF;

    service->listener_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (service->listener_fd < 0)
        return -errno;
    if (bind(service->listener_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0600) < 0 || chown(path, uid, uid) < 0 ||
        listen(service->listener_fd, SOMAXCONN) < 0)
        return -errno;

    *ret_service = TAKE_PTR(service);
    return 0;
}

static int *find_free_connection(PayloadService *service)
{
    for (size_t i = 0; i < ELEMENTS_OF(service->connections); i++) {
        if (service->connections[i] < 0)
            return &service->connections[i];
    }
    return NULL;
}

void payload_service_prepare_poll(const PayloadService *service,
                                  struct pollfd entries[static PAYLOAD_SERVICE_POLL_ENTRIES])
{
    bool is_full = true;

    for (size_t i = 0; i < ELEMENTS_OF(service->connections); i++) {
        entries[i] = (struct pollfd){ .fd = service->connections[i], .events = POLLIN };
        is_full = is_full && service->connections[i] >= 0;
    }
    entries[LISTENER] =
        (struct pollfd){ .fd = is_full ? -EBADF : service->listener_fd, .events = POLLIN };
}

/* True when the kernel says that the user @uid made the connection. */
static bool connection_is_from(int fd, uid_t uid)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
           size == sizeof(credentials) && credentials.uid == uid;
}

static void service_accept(PayloadService *service)
{
    int *connection;

    while ((connection = find_free_connection(service))) {
        _cleanup_close_ int fd =
            accept4(service->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        if (connection_is_from(fd, service->uid))
            *connection = take_fd(&fd);
    }
}

static PayloadStatus status_of(int r)
{
    if (r >= 0)
        return PAYLOAD_STATUS_OK;
    return r == -ENOENT ? PAYLOAD_STATUS_NOT_FOUND : PAYLOAD_STATUS_FAILED;
}

static void service_answer(PayloadService *service,
                           const PayloadRequest *request,
                           PayloadReply *ret_reply)
{
    const PayloadServiceCalls *calls = service->calls;
    const char *path;

    *ret_reply = (PayloadReply){ .type = request->type };
    switch (request->type) {
    case PAYLOAD_GET_SECRET:
        ret_reply->data_size = request->secret_size;
        ret_reply->status = status_of(calls->derive_secret(service->userdata, request->identifier,
                                                           request->identifier_size,
                                                           ret_reply->data, request->secret_size));
        break;
    case PAYLOAD_IS_NEW_INSTANCE:
        ret_reply->data_size = 1;
        ret_reply->data[0] = calls->is_new_instance(service->userdata);
        break;
    case PAYLOAD_GET_STORAGE_PATH:
        path = calls->get_storage_path(service->userdata);
        ret_reply->data_size = path ? strlen(path) : 0;
        assert(ret_reply->data_size <= PAYLOAD_STORAGE_PATH_MAX);
        if (path)
            memcpy(ret_reply->data, path, ret_reply->data_size);
        break;
    case PAYLOAD_READ_ROLLBACK_SECRET:
        ret_reply->data_size = PAYLOAD_ROLLBACK_SECRET_SIZE;
        ret_reply->status =
            status_of(calls->read_rollback_secret(service->userdata, ret_reply->data));
        break;
    case PAYLOAD_WRITE_ROLLBACK_SECRET:
        ret_reply->status =
            status_of(calls->write_rollback_secret(service->userdata, request->rollback_secret));
        break;
    }
    if (ret_reply->status != PAYLOAD_STATUS_OK)
        ret_reply->data_size = 0;
}

/* Answers one request. Returns a negative errno when the connection is to be closed. */
static int service_serve(PayloadService *service, int fd)
{
    uint8_t bytes[PAYLOAD_REQUEST_SIZE_MAX + 1]; /* one more, so that a longer packet shows */
    PayloadRequest request;
    PayloadReply reply;

    /* Without room for control data the kernel drops descriptors that come along. */
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET;
    int r = payload_request_decode(bytes, (size_t)n, &request);
    if (r < 0)
        return r;

    service_answer(service, &request, &reply);
    int size = payload_reply_encode(&reply, bytes);
    assert(size > 0);
    n = send(fd, bytes, (size_t)size, MSG_NOSIGNAL);
    r = n < 0 ? -errno : 0;
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(&request, sizeof(request));
    explicit_bzero(&reply, sizeof(reply));
    return r;
}

void payload_service_dispatch(PayloadService *service,
                              const struct pollfd entries[static PAYLOAD_SERVICE_POLL_ENTRIES])
{
    for (size_t i = 0; i < ELEMENTS_OF(service->connections); i++) {
        if (entries[i].revents && service_serve(service, service->connections[i]) < 0)
            service->connections[i] = fd_close(service->connections[i]);
    }
    if (entries[LISTENER].revents)
        service_accept(service);
}
