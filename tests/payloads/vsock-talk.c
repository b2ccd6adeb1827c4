/* SPDX-License-Identifier: Apache-2.0 */
/* Talks over vsock in a guest, for tests of streams:
 *
 *     vsock-talk echo PORT    gives back what each connection brings, and at its end how much it
 * was vsock-talk greet PORT   says hello to one connection, closes that direction, and reads on
 *     vsock-talk self PORT    dials the guest itself, by each of its addresses */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int listen_at(unsigned port)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                         .svm_cid = VMADDR_CID_ANY,
                                         .svm_port = port };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 8) < 0) {
        perror("listen");
        exit(1);
    }
    puts("listening");
    (void)fflush(stdout);
    return fd;
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n <= 0)
            return;
        bytes += n;
        size -= (size_t)n;
    }
}

static void echo(int fd)
{
    static char bytes[65536];
    char line[64];
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        write_all(fd, bytes, (size_t)n);
        total += (size_t)n;
    }
    (void)snprintf(line, sizeof(line), "%zu bytes\n", total);
    write_all(fd, line, strlen(line));
}

static void greet(int fd)
{
    char bytes[4096];
    size_t total = 0;
    ssize_t n;

    write_all(fd, "hello\n", 6);
    (void)shutdown(fd, SHUT_WR);
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        total += (size_t)n;
    printf("%zu bytes\n", total);
}

static void dial(unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
    const struct timeval limit = { .tv_sec = 1 };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    (void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        printf("refused: %s\n", strerror(errno));
    else
        puts(read(fd, &byte, 1) == 0 ? "hung up on" : "taken");
    (void)close(fd);
}

int main(int argc, char **argv)
{
    unsigned port = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0, cid = 0;

    if (port == 0)
        return 2;
    if (strcmp(argv[1], "self") == 0) {
        int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);

        (void)ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid);
        dial(cid, port);
        dial(VMADDR_CID_LOCAL, port);
        return 0;
    }
    int listener = listen_at(port);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            return 1;
        if (strcmp(argv[1], "greet") == 0) {
            greet(fd);
            return 0;
        }
        echo(fd);
        (void)close(fd);
    }
}
