/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that is a program: sends back whatever a client on the host sends to vsock port 5000.
 * Each connection has a process of its own. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vm_payload.h>

#define PORT 5000

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

/* Until the client has sent its last byte, and all of them are sent back. */
static void echo(int fd)
{
    char bytes[4096];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        for (ssize_t sent = 0, r; sent < n; sent += r) {
            r = send(fd, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
            if (r < 0)
                return;
        }
    }
}

int main(void)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                         .svm_cid = VMADDR_CID_ANY,
                                         .svm_port = PORT };

    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return fail("cannot make a socket");
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 16) < 0)
        return fail("cannot listen");

    signal(SIGCHLD, SIG_IGN); /* nobody waits for the children */
    AVmPayload_notifyPayloadReady();
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == ECONNRESET))
            continue;
        if (fd < 0)
            return fail("cannot accept");
        if (fork() == 0) {
            close(listener);
            echo(fd);
            _exit(0);
        }
        close(fd);
    }
}
