/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that writes anything into its rings and packets, with host peers and a broker that come
 * and go. Guest memory is one heap block, so that the sanitizer sees any step outside. Input: two
 * bytes of set-up, then steps: an opcode and its operands. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "common/log.h"
#include "vhost-user/vhost-user-device.h"
#include "vsock-device/broker-client.h"
#include "vsock-device/vsock-packet.h"
#include "vsock-device/vsock-switch.h"

#define CID         3
#define ENTRIES     8
#define RING_SPAN   1024 /* from one ring's parts to the other's */
#define AVAILABLE   256
#define USED        512
#define BUFFERS     4096
#define MEMORY_SIZE 65536
#define PEERS_MAX   8
#define STEPS_MAX   256

typedef enum Step {
    STEP_WRITE,      /* u16 offset, u8 size, bytes */
    STEP_DESCRIPTOR, /* u8 ring and index, u16 address, u16 size, u8 flags, u8 next */
    STEP_OFFER,      /* u8 ring, u8 head, u8 how far ahead */
    STEP_PACKET,     /* u8 operation, u8 ports, u16 size, u8 flags, u32 buffer, u32 forwarded */
    STEP_BUFFER,     /* u8 slot, u16 size */
    STEP_ANSWER,     /* u8: accept or refuse */
    STEP_DIAL,       /* u8 port */
    STEP_HOST,       /* u8 peer, u8: what it does */
    STEP_RESTART,
    STEP_RESET,
    STEP_MAX,
} Step;

typedef struct Fuzz {
    uint8_t *memory;
    sd_event *event;
    VhostUserDevice device;
    BrokerClient broker;
    int broker_peer;
    VsockSwitch vsock;
    uint64_t features;
    uint16_t base;
    uint16_t available[2];
    int peers[PEERS_MAX];
    size_t n_peers;
} Fuzz;

static void put_le16(Fuzz *fuzz, size_t offset, unsigned value)
{
    fuzz->memory[offset] = (uint8_t)value;
    fuzz->memory[offset + 1] = (uint8_t)(value >> 8);
}

static void put_descriptor(Fuzz *fuzz,
                           size_t ring,
                           size_t index,
                           uint64_t address,
                           uint32_t size,
                           uint16_t flags,
                           uint16_t next)
{
    ByteWriter writer = byte_writer(fuzz->memory + ring * RING_SPAN + index * 16, 16);

    byte_writer_put_le64(&writer, address);
    byte_writer_put_le32(&writer, size);
    byte_writer_put_le16(&writer, flags);
    byte_writer_put_le16(&writer, next);
}

static void offer(Fuzz *fuzz, size_t ring, uint16_t head, uint16_t count)
{
    size_t available = ring * RING_SPAN + AVAILABLE;

    put_le16(fuzz, available + 4 + 2U * (fuzz->available[ring] % ENTRIES), head);
    fuzz->available[ring] = (uint16_t)(fuzz->available[ring] + count);
    put_le16(fuzz, available + 2, fuzz->available[ring]);
}

static void start_rings(Fuzz *fuzz)
{
    for (size_t i = 0; i < 2; i++) {
        VhostUserRing *ring = &fuzz->device.rings[i];
        VirtqueueAddresses addresses = {
            .descriptors = i * RING_SPAN,
            .available = i * RING_SPAN + AVAILABLE,
            .used = i * RING_SPAN + USED,
        };

        fuzz->available[i] = fuzz->base;
        put_le16(fuzz, i * RING_SPAN + AVAILABLE + 2, fuzz->base);
        if (virtqueue_start(&ring->queue, &fuzz->device.memory, &addresses, ENTRIES, fuzz->base,
                            fuzz->features) < 0)
            abort();
        ring->state = VHOST_USER_RING_STARTED;
        ring->enabled = true;
    }
}

static int make_peer(Fuzz *fuzz)
{
    int sockets[2], size = 4096;

    if (fuzz->n_peers == PEERS_MAX ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
        return -EBADF;
    (void)setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* full early */
    fuzz->peers[fuzz->n_peers++] = sockets[0];
    return sockets[1];
}

static void step_packet(Fuzz *fuzz, ByteReader *reader)
{
    uint8_t operation = 0, ports = 0, flags = 0;
    uint16_t size = 0;
    VsockPacket packet = { .source_cid = CID, .destination_cid = VSOCK_HOST_CID };

    (void)byte_reader_get_u8(reader, &operation); /* what is missing at the end is 0 */
    (void)byte_reader_get_u8(reader, &ports);
    (void)byte_reader_get_le16(reader, &size);
    (void)byte_reader_get_u8(reader, &flags);
    (void)byte_reader_get_le32(reader, &packet.buffer_size);
    (void)byte_reader_get_le32(reader, &packet.forwarded_count);
    packet.type = VSOCK_PACKET_TYPE_STREAM;
    packet.operation = operation & 0xf;
    packet.source_port = ports & 7;
    packet.destination_port = ports & 0x80 ? 0x40000000U + (ports >> 3 & 7) : ports >> 3 & 7;
    packet.size = size;
    packet.flags = flags;

    size_t slot = fuzz->available[1] % ENTRIES;
    vsock_packet_encode(&packet, fuzz->memory + BUFFERS + slot * VSOCK_PACKET_HEADER_SIZE);
    put_descriptor(fuzz, 1, slot, BUFFERS + slot * VSOCK_PACKET_HEADER_SIZE,
                   VSOCK_PACKET_HEADER_SIZE, size > 0 ? VRING_DESC_F_NEXT : 0,
                   (uint16_t)((slot + 1) % ENTRIES));
    if (size > 0)
        put_descriptor(fuzz, 1, (slot + 1) % ENTRIES, BUFFERS, size, 0, 0);
    offer(fuzz, 1, (uint16_t)slot, 1);
}

static void step_raw(Fuzz *fuzz, Step step, ByteReader *reader)
{
    uint8_t where = 0, flags = 0, next = 0;
    uint16_t offset = 0, size = 0;
    const uint8_t *bytes;

    if (step == STEP_WRITE) {
        (void)byte_reader_get_le16(reader, &offset);
        (void)byte_reader_get_u8(reader, &where);
        if (offset <= MEMORY_SIZE - 256 && byte_reader_get_view(reader, where, &bytes) == 0)
            memcpy(fuzz->memory + offset, bytes, where);
    } else if (step == STEP_DESCRIPTOR) {
        (void)byte_reader_get_u8(reader, &where);
        (void)byte_reader_get_le16(reader, &offset);
        (void)byte_reader_get_le16(reader, &size);
        (void)byte_reader_get_u8(reader, &flags);
        (void)byte_reader_get_u8(reader, &next);
        put_descriptor(fuzz, where & 1, where >> 1 & 7, offset, size, flags, next);
    } else if (step == STEP_OFFER) {
        (void)byte_reader_get_u8(reader, &where);
        (void)byte_reader_get_u8(reader, &flags);
        (void)byte_reader_get_u8(reader, &next);
        offer(fuzz, where & 1, flags, next);
    } else {
        (void)byte_reader_get_u8(reader, &where);
        (void)byte_reader_get_le16(reader, &size);
        put_descriptor(fuzz, 0, where & 7, BUFFERS + 256U * where, size, VRING_DESC_F_WRITE, 0);
        offer(fuzz, 0, where & 7, 1);
    }
}

static void step_host(Fuzz *fuzz, ByteReader *reader)
{
    uint8_t which = 0, what = 0;
    static char bytes[16384];

    (void)byte_reader_get_u8(reader, &which);
    (void)byte_reader_get_u8(reader, &what);
    if (fuzz->n_peers == 0)
        return;

    int *peer = &fuzz->peers[which % fuzz->n_peers];
    if (*peer < 0)
        return;
    if (what < 100)
        (void)!send(*peer, bytes, what * 100U + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    else if (what < 180)
        (void)!recv(*peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    else if (what < 220)
        (void)shutdown(*peer, what & 1 ? SHUT_WR : SHUT_RD);
    else
        *peer = fd_close(*peer);
}

/* As the broker's socket would bring it. */
static void step_broker(Fuzz *fuzz, Step step, ByteReader *reader)
{
    BrokerMessage message = { .type = BROKER_DIAL };
    uint8_t operand = 0, bytes[BROKER_MESSAGE_SIZE];
    Stream *stream = NULL;
    int fd = -EBADF, received_fd = -EBADF;

    (void)byte_reader_get_u8(reader, &operand);
    if (step == STEP_ANSWER) {
        size_t i = 0;
        while (i < BROKER_PENDING_MAX && !fuzz->broker.pending[i].used)
            i++;
        if (i == BROKER_PENDING_MAX)
            return;
        message.id = fuzz->broker.pending[i].id;
        message.type = BROKER_REFUSE;
    }
    if (step == STEP_DIAL || operand & 1) {
        fd = make_peer(fuzz);
        if (fd < 0)
            return;
        if (step == STEP_ANSWER)
            message.type = BROKER_ACCEPT;
    }

    broker_message_encode(&message, bytes);
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    }
    if (sendmsg(fuzz->broker_peer, &header, MSG_DONTWAIT) < 0 ||
        broker_client_receive(&fuzz->broker, &message, &received_fd, &stream, NULL) != 1)
        abort();
    (void)fd_close(fd);
    if (message.type == BROKER_DIAL)
        vsock_switch_dial(&fuzz->vsock, message.id, operand & 7, received_fd);
    else if (stream)
        vsock_switch_answer(&fuzz->vsock, stream, received_fd);
    else
        (void)fd_close(received_fd);
}

static void do_step(Fuzz *fuzz, Step step, ByteReader *reader)
{
    switch (step) {
    case STEP_WRITE:
    case STEP_DESCRIPTOR:
    case STEP_OFFER:
    case STEP_BUFFER:
        step_raw(fuzz, step, reader);
        break;
    case STEP_PACKET:
        step_packet(fuzz, reader);
        break;
    case STEP_ANSWER:
    case STEP_DIAL:
        step_broker(fuzz, step, reader);
        break;
    case STEP_HOST:
        step_host(fuzz, reader);
        break;
    case STEP_RESTART:
        start_rings(fuzz);
        break;
    case STEP_RESET:
        vsock_switch_drop_all(&fuzz->vsock);
        break;
    case STEP_MAX:
        break;
    }
}

static void drain_broker(Fuzz *fuzz)
{
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    while (recv(fuzz->broker_peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    if (broker_client_flush(&fuzz->broker) < 0)
        abort();
}

static void run(Fuzz *fuzz, ByteReader *reader)
{
    uint8_t step;

    for (unsigned n = 0; n < STEPS_MAX && byte_reader_get_u8(reader, &step) == 0; n++) {
        do_step(fuzz, (Step)(step % STEP_MAX), reader);
        vsock_switch_run(&fuzz->vsock);
        /* No event may lead to an endless row of others. */
        unsigned rounds = 0;
        while (sd_event_run(fuzz->event, 0) > 0)
            if (++rounds > 1000)
                abort();
        drain_broker(fuzz);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t config[8] = { CID };
    ByteReader reader = byte_reader(data, size);
    uint8_t features, base;
    int brokers[2];

    if (byte_reader_get_u8(&reader, &features) < 0 || byte_reader_get_u8(&reader, &base) < 0)
        return 0;

    log_set_max_level(LOG_EMERG); /* broken rings are no news here */
    Fuzz *fuzz = calloc(1, sizeof(*fuzz));
    if (!fuzz || !(fuzz->memory = calloc(1, MEMORY_SIZE)) || sd_event_new(&fuzz->event) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, brokers) < 0)
        abort();
    fuzz->features = (uint64_t)(features & 3) << VIRTIO_RING_F_INDIRECT_DESC;
    fuzz->base = (uint16_t)(65536 - base);
    fuzz->broker_peer = brokers[1];
    vhost_user_device_init(&fuzz->device, fuzz->features, 2, config, sizeof(config));
    fuzz->device.memory.n_regions = 1;
    fuzz->device.memory.regions[0] =
        (GuestMemoryRegion){ .size = MEMORY_SIZE, .data = fuzz->memory };
    broker_client_init(&fuzz->broker, brokers[0]);
    if (vsock_switch_init(&fuzz->vsock, CID, fuzz->event, &fuzz->device, &fuzz->broker) < 0)
        abort();
    start_rings(fuzz);

    run(fuzz, &reader);

    vsock_switch_deinit(&fuzz->vsock);
    broker_client_deinit(&fuzz->broker);
    vhost_user_device_deinit(&fuzz->device);
    fd_close_many(fuzz->peers, fuzz->n_peers);
    (void)fd_close(fuzz->broker_peer);
    (void)sd_event_unref(fuzz->event);
    free(fuzz->memory);
    free(fuzz);
    return 0;
}
