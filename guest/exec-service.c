/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/exec-service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "common/fd.h"
#include "protocol/exec-message.h"

#define LISTENER      (EXEC_SERVICE_POLL_ENTRIES - 1) /* its entry, behind the sessions' */
#define BACKLOG       16
#define TERMINALS_DIR "/dev/pts"

struct ExecService {
    int listener_fd;
    bool (*may_connect)(const struct sockaddr_storage *peer, socklen_t size);
    const char *directory;
    ExecSession *sessions[EXEC_SERVICE_SESSIONS_MAX]; /* NULL: free */
};

int exec_service_new(int listener_fd,
                     bool (*may_connect)(const struct sockaddr_storage *peer, socklen_t size),
                     const char *directory,
                     ExecService **ret_service)
{
    ExecService *service = calloc(1, sizeof(*service));
    if (!service) {
        (void)fd_close(listener_fd);
        return -ENOMEM;
    }
    service->listener_fd = listener_fd;
    service->may_connect = may_connect;
    service->directory = directory;
    *ret_service = service;
    return 0;
}

static int listen_to_host(int *ret_fd)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                         .svm_cid = VMADDR_CID_ANY,
                                         .svm_port = EXEC_VSOCK_PORT };

    _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int exec_service_open(const char *directory, ExecService **ret_service, Error *error)
{
    int fd;

    /* Root's alone, as everything of these terminals is. */
    if ((mkdir(TERMINALS_DIR, 0755) < 0 && errno != EEXIST) ||
        mount("devpts", TERMINALS_DIR, "devpts", MS_NOSUID | MS_NOEXEC, "mode=0600") < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot mount " TERMINALS_DIR);
    int r = listen_to_host(&fd);
    if (r >= 0)
        r = exec_service_new(fd, exec_service_peer_is_host, directory, ret_service);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot listen for commands") : 0;
}

ExecService *exec_service_free(ExecService *service)
{
    if (!service)
        return NULL;
    for (size_t i = 0; i < ELEMENTS_OF(service->sessions); i++)
        exec_session_free(service->sessions[i]);
    (void)fd_close(service->listener_fd);
    free(service);
    return NULL;
}

bool exec_service_peer_is_host(const struct sockaddr_storage *peer, socklen_t size)
{
    struct sockaddr_vm address;

    if (peer->ss_family != AF_VSOCK || size < sizeof(address))
        return false;
    memcpy(&address, peer, sizeof(address));
    return address.svm_cid == VMADDR_CID_HOST;
}

void exec_service_prepare_poll(const ExecService *service,
                               struct pollfd entries[static EXEC_SERVICE_POLL_ENTRIES])
{
    for (size_t i = 0; i < ELEMENTS_OF(service->sessions); i++) {
        struct pollfd *its = entries + i * EXEC_SESSION_POLL_ENTRIES;

        if (service->sessions[i])
            exec_session_prepare_poll(service->sessions[i], its);
        for (size_t j = 0; !service->sessions[i] && j < EXEC_SESSION_POLL_ENTRIES; j++)
            its[j] = (struct pollfd){ .fd = -EBADF };
    }
    entries[LISTENER] = (struct pollfd){ .fd = service->listener_fd, .events = POLLIN };
}

static ExecSession **find_free_session(ExecService *service)
{
    for (size_t i = 0; i < ELEMENTS_OF(service->sessions); i++) {
        if (!service->sessions[i])
            return &service->sessions[i];
    }
    return NULL;
}

/* What a new connection takes at once; if it does not, the client is told by the end of it. */
static void refuse(int connection_fd, const char *text)
{
    uint8_t bytes[EXEC_FRAME_HEADER_SIZE + 4 + EXEC_TEXT_MAX];
    const ExecFrame frame = { .type = EXEC_REFUSED,
                              .refusal = EXEC_REFUSAL_FAILED,
                              .bytes = (const uint8_t *)text,
                              .size = strlen(text) };

    int size = exec_frame_encode(&frame, bytes, sizeof(bytes));
    if (size > 0)
        (void)send(connection_fd, bytes, (size_t)size, MSG_NOSIGNAL);
}

static void add_session(ExecService *service, int *connection_fd)
{
    ExecSession **session = find_free_session(service);

    if (!session)
        refuse(*connection_fd, "as many commands run as the guest takes");
    else if (exec_session_new(*connection_fd, service->directory, session) < 0)
        refuse(*connection_fd, "the guest is out of memory");
    else
        (void)take_fd(connection_fd);
}

static void accept_one(ExecService *service)
{
    struct sockaddr_storage peer = { 0 };
    socklen_t size = sizeof(peer);
    _cleanup_close_ int fd = accept4(service->listener_fd, (struct sockaddr *)&peer, &size,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    /* One that has gone again is nothing to care for. */
    if (fd >= 0 && service->may_connect(&peer, size))
        add_session(service, &fd);
}

void exec_service_dispatch(ExecService *service,
                           const struct pollfd entries[static EXEC_SERVICE_POLL_ENTRIES])
{
    for (size_t i = 0; i < ELEMENTS_OF(service->sessions); i++) {
        ExecSession **session = &service->sessions[i];

        if (*session && !exec_session_dispatch(*session, entries + i * EXEC_SESSION_POLL_ENTRIES))
            *session = exec_session_free(*session);
    }
    if (entries[LISTENER].revents)
        accept_one(service);
}

void exec_service_take_exit(ExecService *service, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < ELEMENTS_OF(service->sessions); i++) {
        if (service->sessions[i] && exec_session_take_exit(service->sessions[i], pid, wait_status))
            return;
    }
}
