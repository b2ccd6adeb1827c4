/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 32, 33 and 37 to 39: nothing here is forbidden to the VMM; the host and those who listen
 * have to bear it. */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

#define FLOOD_SIZE  ((size_t)200 << 20)
#define LINE_SIZE   ((size_t)100 << 20)
#define CHUNK_SIZE  65536
#define PIECE_SIZE  ((size_t)16 << 20)
#define RIGHTS_MAX  16
#define RIGHTS_SENT 2000

static char chunk[CHUNK_SIZE];

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Writes @text again and again. */
static int flood(int fd, const char *text, size_t total)
{
    size_t length = strlen(text), size = 0;
    int r = 0;

    while (size + length <= CHUNK_SIZE) {
        memcpy(chunk + size, text, length);
        size += length;
    }
    for (size_t done = 0; r >= 0 && done < total; done += size)
        r = write_all(fd, chunk, size);
    return r;
}

/* --- QMP --- */

static int send_long_line(const Plan *plan)
{
    return flood(plan->qmp, "x", LINE_SIZE);
}

static int send_deep_line(const Plan *plan)
{
    return flood(plan->qmp, "{\"a\":", CHUNK_SIZE) < 0 ? -errno : write_all(plan->qmp, "\n", 1);
}

static int send_events(const Plan *plan)
{
    return flood(plan->qmp, "{\"event\": \"STOP\", \"data\": {}}\n", FLOOD_SIZE / 4);
}

static int send_answers(const Plan *plan)
{
    return flood(plan->qmp, "{\"return\": {}}\n", CHUNK_SIZE);
}

static int send_bytes(const Plan *plan)
{
    static const char bytes[] = "\0\xff\xfe{\"event\"\0}\n";

    return write_all(plan->qmp, bytes, sizeof(bytes) - 1);
}

static int send_second_greeting(const Plan *plan)
{
    static const char line[] = "{\"QMP\": {}}\n";

    return write_all(plan->qmp, line, sizeof(line) - 1);
}

static int send_false_end(const Plan *plan)
{
    static const char line[] = "{\"event\": \"SHUTDOWN\", \"data\": "
                               "{\"guest\": true, \"reason\": \"guest-shutdown\"}}\n";

    return write_all(plan->qmp, line, sizeof(line) - 1);
}

static int send_with_rights(int fd, const void *data, size_t size, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec part = { (void *)(uintptr_t)data, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
    }
    return result(sendmsg(fd, &message, MSG_NOSIGNAL));
}

/* As many descriptors under way as the kernel allows, again and again. */
static int flood_rights(int fd, const char *text)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    int fds[RIGHTS_MAX], r = 0;

    for (size_t i = 0; i < RIGHTS_MAX; i++)
        fds[i] = STDERR_FILENO;
    for (int i = 0; r >= 0 && i < RIGHTS_SENT; i++) {
        r = send_with_rights(fd, text, strlen(text), fds, RIGHTS_MAX);
        if (r == -ETOOMANYREFS)
            r = nanosleep(&moment, NULL);
    }
    return r;
}

/* Along with lines that mean nothing. */
static int send_rights(const Plan *plan)
{
    return flood_rights(plan->qmp, "{\"event\": \"STOP\"}\n");
}

/* --- console and standard error --- */

static int flood_console(const Plan *plan)
{
    return flood(plan->console, "All work and no play makes a dull guest.\r\n", FLOOD_SIZE);
}

static int flood_stderr(const Plan *plan)
{
    (void)plan;
    return flood(STDERR_FILENO, "All work and no play makes a dull VMM.\n", FLOOD_SIZE);
}

static const char tricks[] = "\033[2J\033]0;owned\007\033[31m\033P+q\033\\\x9b"
                             "31m\r\n\nvmm-launcher[1]: died: shutdown\nvirtualizationd: "
                             "all is well\r<3>forged\n\xff\xfe\xe2\x80\xae%s%n\n";

static int write_tricks(const Plan *plan)
{
    int r = write_all(plan->console, tricks, sizeof(tricks) - 1);

    return r < 0 ? r : write_all(STDERR_FILENO, tricks, sizeof(tricks) - 1);
}

/* --- vhost-user, to vsock-device --- */

enum {
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_KICK = 12,
    SET_VRING_ENABLE = 18,
};

typedef struct Header {
    uint32_t request, flags, size;
} Header;

typedef struct Region {
    uint64_t guest_address, size, user_address, offset;
} Region;

static int send_message(
    const Plan *plan, uint32_t request, const void *body, uint32_t size, const int *fd)
{
    const Header header = { request, 1, size };
    char message[sizeof(Header) + 256];

    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), body, size);
    return send_with_rights(plan->vsock, message, sizeof(header) + size, fd, fd ? 1 : 0);
}

static int send_memory(const Plan *plan, uint64_t size, uint64_t offset, int fd)
{
    struct {
        uint32_t n_regions, padding;
        Region region;
    } table = { 1, 0, { 0, size, UINT64_C(0x7f0000000000), offset } };

    return send_message(plan, SET_MEM_TABLE, &table, sizeof(table), &fd);
}

static int vhost_bytes(const Plan *plan)
{
    return flood(plan->vsock, "\xff\xff\xff\xff garbage", 1 << 20);
}

static int vhost_huge_message(const Plan *plan)
{
    const Header header = { SET_MEM_TABLE, 1, UINT32_MAX };

    return write_all(plan->vsock, (const char *)&header, sizeof(header));
}

static int vhost_half_message(const Plan *plan)
{
    return write_all(plan->vsock, "\1\0", 2);
}

static int vhost_rights(const Plan *plan)
{
    return flood_rights(plan->vsock, "\1");
}

/* A region far larger than its file, then rings in it. */
static int use_rings(const Plan *plan)
{
    const uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1;
    int kick = eventfd(1, 0);
    int r = send_message(plan, SET_FEATURES, &features, sizeof(features), NULL);

    for (uint32_t ring = 0; r >= 0 && ring < 2; ring++) {
        const uint32_t number[2] = { ring, 128 }, enable[2] = { ring, 1 };
        const uint64_t kick_ring = ring;
        const struct {
            uint32_t index, flags;
            uint64_t descriptors, used, available, log;
        } addresses = {
            ring, 0, UINT64_C(0x7f0000000000), UINT64_C(0x7f0000002000), UINT64_C(0x7f0000001000), 0
        };

        r = send_message(plan, SET_VRING_NUM, number, sizeof(number), NULL);
        if (r >= 0)
            r = send_message(plan, SET_VRING_ADDR, &addresses, sizeof(addresses), NULL);
        if (r >= 0)
            r = send_message(plan, SET_VRING_KICK, &kick_ring, sizeof(kick_ring), &kick);
        if (r >= 0)
            r = send_message(plan, SET_VRING_ENABLE, enable, sizeof(enable), NULL);
    }
    return r;
}

static int vhost_false_size(const Plan *plan)
{
    int fd = (int)syscall(SYS_memfd_create, "memory", MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : result(ftruncate(fd, 4096));

    if (r >= 0)
        r = result(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    if (r >= 0)
        r = send_memory(plan, UINT64_C(1) << 40, 0, fd);
    return r < 0 ? r : use_rings(plan);
}

static int vhost_wrapping_offset(const Plan *plan)
{
    int fd = (int)syscall(SYS_memfd_create, "memory", MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : result(ftruncate(fd, 1 << 20));

    if (r >= 0)
        r = result(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    if (r >= 0)
        r = send_memory(plan, 1 << 20, UINT64_MAX - 4095, fd);
    return r < 0 ? r : use_rings(plan);
}

/* The rings' memory goes away under the device's hands. */
static int vhost_shrink(const Plan *plan)
{
    int fd = (int)syscall(SYS_memfd_create, "memory", MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : result(ftruncate(fd, 1 << 20));

    if (r >= 0)
        r = send_memory(plan, 1 << 20, 0, fd);
    if (r >= 0)
        r = result(ftruncate(fd, 0));
    return r < 0 ? r : use_rings(plan);
}

static int vhost_pipe_as_memory(const Plan *plan)
{
    int r = send_memory(plan, 1 << 20, 0, STDERR_FILENO);

    return r < 0 ? r : use_rings(plan);
}

/* --- what the host has only so much of; without end --- */

static int take_memory(const Plan *plan)
{
    (void)plan;
    for (;;) {
        void *piece =
            mmap(NULL, PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED)
            return -errno;
        memset(piece, 1, PIECE_SIZE);
    }
}

static void *wait_forever(void *userdata)
{
    for (;;)
        (void)poll(NULL, 0, -1);
    return userdata;
}

static int take_threads(const Plan *plan)
{
    pthread_t thread;
    int r;

    (void)plan;
    do
        r = pthread_create(&thread, NULL, wait_forever, NULL);
    while (r == 0);
    return -r;
}

static int take_processor(const Plan *plan)
{
    (void)plan;
    for (;;)
        __asm__ volatile("" ::: "memory");
    return 0;
}

int turn_on(const Plan *plan, const char *way)
{
    static const Attempt ways[] = {
        { "qmp-long-line", send_long_line },
        { "qmp-deep-line", send_deep_line },
        { "qmp-events", send_events },
        { "qmp-answers", send_answers },
        { "qmp-bytes", send_bytes },
        { "qmp-greeting", send_second_greeting },
        { "qmp-false-end", send_false_end },
        { "qmp-rights", send_rights },
        { "console-flood", flood_console },
        { "stderr-flood", flood_stderr },
        { "tricks", write_tricks },
        { "vhost-bytes", vhost_bytes },
        { "vhost-huge", vhost_huge_message },
        { "vhost-half", vhost_half_message },
        { "vhost-rights", vhost_rights },
        { "vhost-size", vhost_false_size },
        { "vhost-offset", vhost_wrapping_offset },
        { "vhost-shrink", vhost_shrink },
        { "vhost-pipe", vhost_pipe_as_memory },
        { "memory", take_memory },
        { "threads", take_threads },
        { "processor", take_processor },
    };

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(ways[i].name, way) == 0)
            return ways[i].run(plan);
    }
    return -ENOENT;
}
