/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helpers/vhost-front-end.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/bytes.h"
#include "common/fd-message.h"
#include "common/fd.h"
#include "vhost-user/vhost-user-protocol.h"

#define RING_AREA_SIZE 4096 /* for each of the three parts: more than 64 entries need */

static FrontEndRing make_ring(size_t offset)
{
    return (FrontEndRing){
        .descriptors = offset,
        .available = offset + RING_AREA_SIZE,
        .used = offset + 2UL * RING_AREA_SIZE,
        .buffers = offset + 3UL * RING_AREA_SIZE,
        .kick_fd = -EBADF,
        .call_fd = -EBADF,
        .err_fd = -EBADF,
    };
}

FrontEnd *front_end_new(void)
{
    FrontEnd *front_end = calloc(1, sizeof(*front_end));
    int sockets[2], brokers[2];

    assert_non_null(front_end);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets),
                     0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, brokers),
                     0);
    front_end->socket_fd = sockets[0];
    front_end->broker_fd = brokers[0];
    front_end->memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(front_end->memory_fd >= 0);
    assert_int_equal(ftruncate(front_end->memory_fd, FRONT_END_MEMORY_SIZE), 0);
    assert_int_equal(fcntl(front_end->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    front_end->memory = mmap(NULL, FRONT_END_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                             front_end->memory_fd, 0);
    assert_true(front_end->memory != MAP_FAILED);
    front_end->rings[0] = make_ring(0);
    front_end->rings[1] = make_ring(FRONT_END_MEMORY_SIZE / 2);

    assert_int_equal(sd_event_new(&front_end->event), 0);
    assert_int_equal(device_new(front_end->event, FRONT_END_CID, sockets[1], brokers[1],
                                &front_end->device, NULL),
                     0);
    return front_end;
}

FrontEnd *front_end_free(FrontEnd *front_end)
{
    if (front_end) {
        (void)device_free(front_end->device);
        (void)sd_event_unref(front_end->event);
        for (size_t i = 0; i < 2; i++) {
            (void)fd_close(front_end->rings[i].kick_fd);
            (void)fd_close(front_end->rings[i].call_fd);
            (void)fd_close(front_end->rings[i].err_fd);
        }
        (void)munmap(front_end->memory, FRONT_END_MEMORY_SIZE);
        (void)fd_close(front_end->memory_fd);
        (void)fd_close(front_end->socket_fd);
        (void)fd_close(front_end->broker_fd);
        free(front_end);
    }
    return NULL;
}

bool front_end_step(FrontEnd *front_end, int *ret_exit_code)
{
    while (sd_event_get_state(front_end->event) != SD_EVENT_FINISHED) {
        int r = sd_event_run(front_end->event, 0);
        assert_true(r >= 0);
        if (r == 0)
            return true;
    }
    if (ret_exit_code)
        assert_int_equal(sd_event_get_exit_code(front_end->event, ret_exit_code), 0);
    return false;
}

void front_end_request(FrontEnd *front_end,
                       uint32_t type,
                       const void *payload,
                       size_t size,
                       const int *fds,
                       size_t n_fds)
{
    uint8_t bytes[VHOST_USER_MESSAGE_SIZE_MAX];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le32(&writer, type);
    byte_writer_put_le32(&writer, 1);
    byte_writer_put_le32(&writer, (uint32_t)size);
    byte_writer_put_bytes(&writer, payload, size);
    assert_int_equal(byte_writer_finish(&writer), 0);
    assert_int_equal(fd_message_send(front_end->socket_fd, bytes, writer.size, fds, n_fds), 0);
    (void)front_end_step(front_end, NULL);
}

void front_end_request_u64(FrontEnd *front_end, uint32_t type, uint64_t value)
{
    uint8_t bytes[8];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le64(&writer, value);
    front_end_request(front_end, type, bytes, sizeof(bytes), NULL, 0);
}

size_t front_end_read_reply(FrontEnd *front_end, uint8_t *payload, size_t capacity)
{
    uint8_t bytes[VHOST_USER_MESSAGE_SIZE_MAX];

    ssize_t n = read(front_end->socket_fd, bytes, sizeof(bytes));
    assert_true(n >= VHOST_USER_HEADER_SIZE);
    size_t size = (size_t)n - VHOST_USER_HEADER_SIZE;
    assert_true(size <= capacity);
    memcpy(payload, bytes + VHOST_USER_HEADER_SIZE, size);
    return size;
}

void front_end_share_memory(FrontEnd *front_end)
{
    uint8_t bytes[40];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le32(&writer, 1);
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_le64(&writer, FRONT_END_GUEST_BASE);
    byte_writer_put_le64(&writer, FRONT_END_MEMORY_SIZE);
    byte_writer_put_le64(&writer, (uintptr_t)front_end->memory);
    byte_writer_put_le64(&writer, 0);
    front_end_request(front_end, VHOST_USER_SET_MEM_TABLE, bytes, sizeof(bytes),
                      &front_end->memory_fd, 1);
}

static void request_ring_state(FrontEnd *front_end, uint32_t type, uint32_t ring, uint32_t number)
{
    front_end_request_u64(front_end, type, ring | (uint64_t)number << 32);
}

static void request_ring_fd(FrontEnd *front_end, uint32_t type, uint64_t ring, int fd)
{
    uint8_t bytes[8];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le64(&writer, ring);
    front_end_request(front_end, type, bytes, sizeof(bytes), &fd, 1);
}

static void start_ring(FrontEnd *front_end, uint32_t index, uint16_t base)
{
    FrontEndRing *ring = &front_end->rings[index];
    uint8_t bytes[40];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    uint64_t memory = (uintptr_t)front_end->memory;

    if (ring->kick_fd < 0) {
        ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ring->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    request_ring_fd(front_end, VHOST_USER_SET_VRING_CALL, index, ring->call_fd);
    request_ring_fd(front_end, VHOST_USER_SET_VRING_ERR, index, ring->err_fd);
    request_ring_state(front_end, VHOST_USER_SET_VRING_NUM, index, FRONT_END_RING_ENTRIES);
    request_ring_state(front_end, VHOST_USER_SET_VRING_BASE, index, base);
    byte_writer_put_le32(&writer, index);
    byte_writer_put_le32(&writer, 0);
    byte_writer_put_le64(&writer, memory + ring->descriptors);
    byte_writer_put_le64(&writer, memory + ring->used);
    byte_writer_put_le64(&writer, memory + ring->available);
    byte_writer_put_le64(&writer, 0);
    front_end_request(front_end, VHOST_USER_SET_VRING_ADDR, bytes, sizeof(bytes), NULL, 0);
    request_ring_fd(front_end, VHOST_USER_SET_VRING_KICK, index, ring->kick_fd);
    request_ring_state(front_end, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

static void store_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static uint16_t load_le16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

void front_end_start_rings(FrontEnd *front_end, uint16_t base)
{
    for (uint32_t i = 0; i < 2; i++) {
        FrontEndRing *ring = &front_end->rings[i];

        ring->available_index = ring->used_index = base;
        store_le16(front_end->memory + ring->available + 2, base);
        store_le16(front_end->memory + ring->used + 2, base);
        start_ring(front_end, i, base);
    }
}

uint16_t front_end_stop_ring(FrontEnd *front_end, uint32_t ring)
{
    uint8_t payload[8];

    request_ring_state(front_end, VHOST_USER_GET_VRING_BASE, ring, 0);
    assert_int_equal(front_end_read_reply(front_end, payload, sizeof(payload)), 8);
    return load_le16(payload + 4);
}

FrontEnd *front_end_new_started(uint16_t base, uint64_t features)
{
    FrontEnd *front_end = front_end_new();

    front_end_request_u64(front_end, VHOST_USER_SET_FEATURES, features);
    front_end_share_memory(front_end);
    front_end_start_rings(front_end, base);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    return front_end;
}

uint8_t *front_end_at(FrontEnd *front_end, size_t offset)
{
    assert_true(offset < FRONT_END_MEMORY_SIZE);
    return front_end->memory + offset;
}

void front_end_put_descriptor(FrontEnd *front_end,
                              size_t table,
                              size_t index,
                              uint64_t address,
                              uint32_t size,
                              uint16_t flags,
                              uint16_t next)
{
    ByteWriter writer = byte_writer(front_end_at(front_end, table + index * 16), 16);

    byte_writer_put_le64(&writer, address);
    byte_writer_put_le32(&writer, size);
    byte_writer_put_le16(&writer, flags);
    byte_writer_put_le16(&writer, next);
}

void front_end_offer(FrontEnd *front_end, size_t ring, uint16_t head)
{
    FrontEndRing *offered = &front_end->rings[ring];
    uint8_t *available = front_end_at(front_end, offered->available);
    size_t slot = offered->available_index % FRONT_END_RING_ENTRIES;

    store_le16(available + 4 + 2 * slot, head);
    store_le16(available + 2, ++offered->available_index);
}

void front_end_kick(FrontEnd *front_end, size_t ring)
{
    assert_int_equal(eventfd_write(front_end->rings[ring].kick_fd, 1), 0);
    (void)front_end_step(front_end, NULL);
}

static uint64_t buffer_address(const FrontEndRing *ring, size_t index)
{
    return FRONT_END_GUEST_BASE + ring->buffers + index * FRONT_END_BUFFER_SIZE;
}

void front_end_post_receive_buffers(FrontEnd *front_end, size_t count)
{
    FrontEndRing *ring = &front_end->rings[0];

    for (size_t i = 0; i < count; i++) {
        size_t index = ring->available_index % FRONT_END_RING_ENTRIES;

        front_end_put_descriptor(front_end, ring->descriptors, index, buffer_address(ring, index),
                                 FRONT_END_BUFFER_SIZE, VRING_DESC_F_WRITE, 0);
        front_end_offer(front_end, 0, (uint16_t)index);
    }
    front_end_kick(front_end, 0);
}

bool front_end_is_broken(FrontEnd *front_end, size_t ring)
{
    eventfd_t count;

    return eventfd_read(front_end->rings[ring].err_fd, &count) == 0;
}

void front_end_send_packet(FrontEnd *front_end, const VsockPacket *packet, const void *payload)
{
    FrontEndRing *ring = &front_end->rings[1];
    size_t slot = ring->available_index % (FRONT_END_RING_ENTRIES / 2);
    size_t size = packet->size < FRONT_END_BUFFER_SIZE ? packet->size : FRONT_END_BUFFER_SIZE;
    uint8_t *buffer = front_end_at(front_end, ring->buffers + slot * 2 * FRONT_END_BUFFER_SIZE);

    /* Two descriptors, as Linux does: header, payload. */
    vsock_packet_encode(packet, buffer);
    if (payload && size > 0)
        memcpy(buffer + FRONT_END_BUFFER_SIZE, payload, size);
    front_end_put_descriptor(front_end, ring->descriptors, 2 * slot, buffer_address(ring, 2 * slot),
                             VSOCK_PACKET_HEADER_SIZE, size > 0 ? VRING_DESC_F_NEXT : 0,
                             (uint16_t)(2 * slot + 1));
    front_end_put_descriptor(front_end, ring->descriptors, 2 * slot + 1,
                             buffer_address(ring, 2 * slot + 1), (uint32_t)size, 0, 0);
    front_end_offer(front_end, 1, (uint16_t)(2 * slot));
    front_end_kick(front_end, 1);
}

void front_end_send(FrontEnd *front_end,
                    VsockOperation operation,
                    uint32_t guest_port,
                    uint32_t host_port,
                    const void *payload,
                    size_t size)
{
    VsockPacket packet = {
        .source_cid = FRONT_END_CID,
        .destination_cid = VSOCK_HOST_CID,
        .source_port = guest_port,
        .destination_port = host_port,
        .size = (uint32_t)size,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = (uint16_t)operation,
        .buffer_size = 1U << 18,
    };

    if (operation == VSOCK_OPERATION_SHUTDOWN) {
        packet.flags = (uint32_t)size;
        packet.size = 0;
    }
    front_end_send_packet(front_end, &packet, payload);
}

bool front_end_receive(FrontEnd *front_end, VsockPacket *ret_packet, uint8_t *payload)
{
    FrontEndRing *ring = &front_end->rings[0];
    const uint8_t *used = front_end_at(front_end, ring->used);

    if (load_le16(used + 2) == ring->used_index)
        return false;

    const uint8_t *entry = used + 4 + 8UL * (ring->used_index % FRONT_END_RING_ENTRIES);
    size_t index = load_le16(entry), size = load_le16(entry + 4);
    uint8_t *buffer = front_end_at(front_end, ring->buffers + index * FRONT_END_BUFFER_SIZE);
    ring->used_index++;
    vsock_packet_decode(buffer, ret_packet);
    assert_int_equal(size, VSOCK_PACKET_HEADER_SIZE + ret_packet->size);
    assert_int_equal(ret_packet->destination_cid, FRONT_END_CID);
    if (payload)
        memcpy(payload, buffer + VSOCK_PACKET_HEADER_SIZE, ret_packet->size);
    front_end_post_receive_buffers(front_end, 1);
    return true;
}

void front_end_expect(FrontEnd *front_end, VsockOperation operation, VsockPacket *ret_packet)
{
    VsockPacket packet;

    assert_true(front_end_receive(front_end, &packet, NULL));
    assert_int_equal(packet.operation, operation);
    if (ret_packet)
        *ret_packet = packet;
}

void front_end_expect_silence(FrontEnd *front_end)
{
    VsockPacket packet;

    (void)front_end_step(front_end, NULL);
    assert_false(front_end_receive(front_end, &packet, NULL));
}

void front_end_broker_send(
    FrontEnd *front_end, BrokerMessageType type, uint32_t id, uint32_t value, int fd)
{
    BrokerMessage message = { .type = type, .id = id, .value = value };
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    broker_message_encode(&message, bytes);
    assert_int_equal(
        fd_message_send(front_end->broker_fd, bytes, sizeof(bytes), &fd, fd >= 0 ? 1 : 0), 0);
    (void)front_end_step(front_end, NULL);
}

bool front_end_broker_receive(FrontEnd *front_end, BrokerMessage *ret_message)
{
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    ssize_t n = recv(front_end->broker_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0)
        return false;
    assert_int_equal(broker_message_decode(bytes, (size_t)n, ret_message), 0);
    return true;
}

int front_end_open_from_guest(FrontEnd *front_end, uint32_t guest_port, uint32_t host_port)
{
    BrokerMessage message;
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets),
                     0);
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, guest_port, host_port, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    assert_int_equal(message.type, BROKER_CONNECT);
    assert_int_equal(message.value, host_port);
    front_end_broker_send(front_end, BROKER_ACCEPT, message.id, 0, sockets[1]);
    (void)fd_close(sockets[1]);
    front_end_expect(front_end, VSOCK_OPERATION_RESPONSE, NULL);
    return sockets[0];
}

int front_end_open_from_host(FrontEnd *front_end, uint32_t guest_port, uint32_t *ret_host_port)
{
    BrokerMessage message;
    VsockPacket packet;
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets),
                     0);
    front_end_broker_send(front_end, BROKER_DIAL, 5, guest_port, sockets[1]);
    (void)fd_close(sockets[1]);
    front_end_expect(front_end, VSOCK_OPERATION_REQUEST, &packet);
    assert_int_equal(packet.destination_port, guest_port);
    front_end_send(front_end, VSOCK_OPERATION_RESPONSE, guest_port, packet.source_port, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    assert_int_equal(message.type, BROKER_DIALED);
    assert_int_equal(message.id, 5);
    assert_int_equal(message.value, 0);
    *ret_host_port = packet.source_port;
    return sockets[0];
}
