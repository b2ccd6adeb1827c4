/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 17 to 22: sockets, queues, shared memory, keys. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

#define KEY_TYPE "user"
#define KEY_NAME "escape-canary" /* in the session keyring that the test starts the launcher in */

/* --- the network --- */

static int connect_ip(const char *address, int type, in_port_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

    (void)inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, type, 0);
    return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static in_port_t port(const Plan *plan)
{
    return (in_port_t)plan_get_number(plan, "port");
}

static int connect_loopback(const Plan *plan)
{
    return connect_ip("127.0.0.1", SOCK_STREAM, port(plan));
}

static int connect_loopback_6(const Plan *plan)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6,
                               .sin6_port = htons(port(plan)),
                               .sin6_addr = in6addr_loopback };

    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int connect_host(const Plan *plan)
{
    char address[INET6_ADDRSTRLEN];

    plan_get(plan, "address", address, sizeof(address));
    return connect_ip(address, SOCK_STREAM, port(plan));
}

/* A datagram socket's connect() sends nothing: it says whether there is a way. */
static int find_way_to_metadata(const Plan *plan)
{
    (void)plan;
    return connect_ip("169.254.169.254", SOCK_DGRAM, 80);
}

/* --- address families, by number: the libc's headers lack some --- */

static int open_family(int family, int type)
{
    return result(socket(family, type, 0));
}

#define FAMILY(name, family, type)        \
    static int name(const Plan *plan)     \
    {                                     \
        (void)plan;                       \
        return open_family(family, type); \
    }

FAMILY(open_netlink, AF_NETLINK, SOCK_RAW)
FAMILY(open_packet, AF_PACKET, SOCK_RAW)
FAMILY(open_alg, AF_ALG, SOCK_SEQPACKET)
FAMILY(open_xdp, AF_XDP, SOCK_RAW)
FAMILY(open_bluetooth, AF_BLUETOOTH, SOCK_RAW)
FAMILY(open_key, AF_KEY, SOCK_RAW)
FAMILY(open_tipc, AF_TIPC, SOCK_SEQPACKET)
FAMILY(open_can, AF_CAN, SOCK_RAW)
FAMILY(open_rds, AF_RDS, SOCK_SEQPACKET)
FAMILY(open_unix, AF_UNIX, SOCK_STREAM)
FAMILY(open_vsock_socket, AF_VSOCK, SOCK_STREAM)

static int connect_vsock(const Plan *plan)
{
    struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 9 };

    (void)plan;
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (fd < 0)
        return -errno;
    int r = result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
    /* Somebody has been asked. */
    return r == -ECONNREFUSED || r == -ECONNRESET || r == -ETIMEDOUT ? 0 : r;
}

/* --- local sockets --- */

static int connect_unix(const Plan *plan, const char *key, int type, bool abstract)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    char name[sizeof(to.sun_path) - 1];

    plan_get(plan, key, name, sizeof(name));
    memcpy(to.sun_path + (abstract ? 1 : 0), name, strlen(name));
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (abstract ? 1 : 0) + strlen(name));
    int fd = socket(AF_UNIX, type, 0);
    return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, size));
}

static int connect_path(const Plan *plan)
{
    return connect_unix(plan, "socket", SOCK_STREAM, false);
}

static int connect_bus(const Plan *plan)
{
    return connect_unix(plan, "bus", SOCK_STREAM, false);
}

static int connect_launcher(const Plan *plan)
{
    return connect_unix(plan, "launcher", SOCK_SEQPACKET, false);
}

static int connect_abstract(const Plan *plan)
{
    return connect_unix(plan, "abstract", SOCK_STREAM, true);
}

static int connect_others_stub(const Plan *plan)
{
    return connect_unix(plan, "others-stub", SOCK_STREAM, false);
}

/* --- System V IPC and POSIX queues --- */

static int attach_shared_memory(const Plan *plan)
{
    int id = (int)syscall(SYS_shmget, plan_get_number(plan, "ipc-key"), 0, 0);

    return id < 0 ? -errno : result(syscall(SYS_shmat, id, NULL, SHM_RDONLY));
}

static int find_semaphores(const Plan *plan)
{
    return result(syscall(SYS_semget, plan_get_number(plan, "ipc-key"), 0, 0));
}

static int find_queue(const Plan *plan)
{
    return result(syscall(SYS_msgget, plan_get_number(plan, "ipc-key"), 0));
}

static int open_queue(const Plan *plan)
{
    char name[64];

    plan_get(plan, "queue", name, sizeof(name));
    return result(syscall(SYS_mq_open, name, O_RDONLY, 0, NULL));
}

static int create_queue(const Plan *plan)
{
    char name[64];

    (void)plan;
    (void)snprintf(name, sizeof(name), "escape-new-%d", (int)plan->parent);
    if (syscall(SYS_mq_open, name, O_RDONLY | O_CREAT, 0600, NULL) < 0)
        return -errno;
    (void)syscall(SYS_mq_unlink, name);
    return 0;
}

/* --- keys --- */

static int search_key(const Plan *plan)
{
    (void)plan;
    return result(
        syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, KEY_TYPE, KEY_NAME, 0));
}

static int request_key(const Plan *plan)
{
    (void)plan;
    return result(syscall(SYS_request_key, KEY_TYPE, KEY_NAME, NULL, 0));
}

static int add_key(const Plan *plan)
{
    (void)plan;
    return result(syscall(SYS_add_key, KEY_TYPE, "escape-new", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

const Attempt network_attempts[] = {
    { "6.stub", connect_others_stub },
    { "6.shm", attach_shared_memory },
    { "17.inet", connect_loopback },
    { "17.inet6", connect_loopback_6 },
    { "17.lan", connect_host },
    { "17.metadata", find_way_to_metadata },
    { "18.netlink", open_netlink },
    { "18.packet", open_packet },
    { "18.alg", open_alg },
    { "18.xdp", open_xdp },
    { "18.bluetooth", open_bluetooth },
    { "18.key", open_key },
    { "18.tipc", open_tipc },
    { "18.can", open_can },
    { "18.rds", open_rds },
    { "18.unix", open_unix },
    { "18.vsock", open_vsock_socket },
    { "19.connect", connect_vsock },
    { "20.path", connect_path },
    { "20.bus", connect_bus },
    { "20.launcher", connect_launcher },
    { "20.abstract", connect_abstract },
    { "21.shm", attach_shared_memory },
    { "21.sem", find_semaphores },
    { "21.msg", find_queue },
    { "21.mq-open", open_queue },
    { "21.mq-create", create_queue },
    { "22.search", search_key },
    { "22.request", request_key },
    { "22.add", add_key },
    { NULL, NULL },
};
