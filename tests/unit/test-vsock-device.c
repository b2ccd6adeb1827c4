/* SPDX-License-Identifier: Apache-2.0 */
/* The whole device, driven by a front-end in the same process. */
#include "tests/helpers/vhost-front-end.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/cleanup.h"
#include "common/fd.h"
#include "vhost-user/vhost-user-protocol.h"
#include "vsock-device/vsock-connection.h"

#define GUEST_PORT 1000
#define HOST_PORT  2000

DEFINE_CLEANUP(FrontEnd, front_end_free);

static FrontEnd *started(void)
{
    return front_end_new_started(0, FRONT_END_FEATURES);
}

/* Reads what is there from the host's end; 0 for end of file. */
static void assert_host_reads(int fd, const char *expected)
{
    char bytes[256];

    ssize_t n = read(fd, bytes, sizeof(bytes));
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, strlen(expected));
}

static void host_writes(FrontEnd *front_end, int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)front_end_step(front_end, NULL);
}

static void assert_guest_receives(FrontEnd *front_end, const char *expected)
{
    uint8_t payload[FRONT_END_BUFFER_SIZE];
    VsockPacket packet;

    assert_true(front_end_receive(front_end, &packet, payload));
    assert_int_equal(packet.operation, VSOCK_OPERATION_DATA);
    assert_int_equal(packet.size, strlen(expected));
    assert_memory_equal(payload, expected, strlen(expected));
}

static void guest_writes(FrontEnd *front_end, const char *text)
{
    front_end_send(front_end, VSOCK_OPERATION_DATA, GUEST_PORT, HOST_PORT, text, strlen(text));
}

static void guest_shuts_down(FrontEnd *front_end, unsigned flags)
{
    front_end_send(front_end, VSOCK_OPERATION_SHUTDOWN, GUEST_PORT, HOST_PORT, NULL, flags);
}

static void assert_told_shutdown(FrontEnd *front_end, unsigned flags)
{
    VsockPacket packet;

    front_end_expect(front_end, VSOCK_OPERATION_SHUTDOWN, &packet);
    assert_int_equal(packet.flags, flags);
}

static void features_and_configuration_are_told_to_the_front_end(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    uint8_t payload[64];
    static const uint8_t get_config[20] = { 0, 0, 0, 0, 8 };

    front_end_request(front_end, VHOST_USER_GET_FEATURES, NULL, 0, NULL, 0);
    assert_int_equal(front_end_read_reply(front_end, payload, sizeof(payload)), 8);
    uint64_t features;
    memcpy(&features, payload, sizeof(features));
    assert_true(features == FRONT_END_FEATURES);

    front_end_request(front_end, VHOST_USER_GET_CONFIG, get_config, sizeof(get_config), NULL, 0);
    assert_int_equal(front_end_read_reply(front_end, payload, sizeof(payload)), 20);
    static const uint8_t expected[8] = { FRONT_END_CID };
    assert_memory_equal(payload + 12, expected, sizeof(expected));
}

static void acknowledgement_is_sent_when_asked_for(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    static const uint8_t set_owner[12] = { VHOST_USER_SET_OWNER, 0, 0, 0, 1 | 8 };
    uint8_t payload[8];

    front_end_request_u64(front_end, VHOST_USER_SET_PROTOCOL_FEATURES, 1U << 3);
    assert_int_equal(write(front_end->socket_fd, set_owner, sizeof(set_owner)), 12);
    assert_true(front_end_step(front_end, NULL));
    assert_int_equal(front_end_read_reply(front_end, payload, sizeof(payload)), 8);
    static const uint8_t success[8] = { 0 };
    assert_memory_equal(payload, success, sizeof(success));
}

static void guest_connects_and_bytes_go_both_ways(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    guest_writes(front_end, "ping");
    assert_host_reads(host, "ping");
    host_writes(front_end, host, "pong");
    assert_guest_receives(front_end, "pong");
    front_end_expect_silence(front_end);
}

static void refused_request_is_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    BrokerMessage message;

    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_broker_send(front_end, BROKER_REFUSE, message.id, 0, -EBADF);
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    front_end_expect_silence(front_end);
}

static void guest_half_close_keeps_the_other_direction(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    guest_writes(front_end, "last");
    guest_shuts_down(front_end, VSOCK_SHUTDOWN_SEND);
    assert_host_reads(host, "last");
    assert_host_reads(host, "");
    host_writes(front_end, host, "answer");
    assert_guest_receives(front_end, "answer");
}

static void host_half_close_keeps_the_other_direction(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    host_writes(front_end, host, "last");
    assert_int_equal(shutdown(host, SHUT_WR), 0);
    (void)front_end_step(front_end, NULL);
    assert_guest_receives(front_end, "last");
    assert_told_shutdown(front_end, VSOCK_SHUTDOWN_SEND);
    guest_writes(front_end, "answer");
    assert_host_reads(host, "answer");
    guest_shuts_down(front_end, VSOCK_SHUTDOWN_SEND);
    assert_host_reads(host, "");
    assert_told_shutdown(front_end, VSOCK_SHUTDOWN_BOTH);
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, HOST_PORT, NULL, 0);
    front_end_expect_silence(front_end);
}

static void guest_close_is_answered_by_a_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    guest_writes(front_end, "bye");
    guest_shuts_down(front_end, VSOCK_SHUTDOWN_BOTH);
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    assert_host_reads(host, "bye");
    assert_host_reads(host, "");
}

static void host_close_delivers_its_last_bytes_first(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    assert_int_equal(write(host, "bye", 3), 3);
    (void)fd_close(host);
    (void)front_end_step(front_end, NULL);
    assert_told_shutdown(front_end, VSOCK_SHUTDOWN_RECEIVE);
    assert_guest_receives(front_end, "bye");
    assert_told_shutdown(front_end, VSOCK_SHUTDOWN_BOTH);
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, HOST_PORT, NULL, 0);
    front_end_expect_silence(front_end);
}

static void bytes_to_a_closed_host_raise_no_signal_and_tell_the_guest(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    assert_int_equal(shutdown(host, SHUT_RD), 0);
    guest_writes(front_end, "lost");
    assert_told_shutdown(front_end, VSOCK_SHUTDOWN_RECEIVE);
    (void)fd_close(host);
}

/* Fills the way to a host that does not read; returns how many bytes the device has taken. */
static size_t fill_towards_host(FrontEnd *front_end, size_t limit)
{
    static char bytes[4096];
    size_t sent = 0;

    for (; sent < limit; sent += sizeof(bytes))
        front_end_send(front_end, VSOCK_OPERATION_DATA, GUEST_PORT, HOST_PORT, bytes,
                       sizeof(bytes));
    return sent;
}

static void limit_send_buffer(int fd)
{
    int size = 4096;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* A connection whose host end takes next to nothing until it reads. */
static int open_with_small_buffer(FrontEnd *front_end)
{
    BrokerMessage message;
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets),
                     0);
    limit_send_buffer(sockets[1]);
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_broker_send(front_end, BROKER_ACCEPT, message.id, 0, sockets[1]);
    (void)fd_close(sockets[1]);
    front_end_expect(front_end, VSOCK_OPERATION_RESPONSE, NULL);
    return sockets[0];
}

static size_t drain(FrontEnd *front_end, int fd)
{
    char bytes[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        total += (size_t)n;
        (void)front_end_step(front_end, NULL);
    }
    return total;
}

static void slow_host_holds_up_nobody_else(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int slow = open_with_small_buffer(front_end);
    _cleanup_close_ int other = front_end_open_from_guest(front_end, 1001, HOST_PORT);

    size_t sent = fill_towards_host(front_end, 32768);
    front_end_send(front_end, VSOCK_OPERATION_DATA, 1001, HOST_PORT, "quick", 5);
    assert_host_reads(other, "quick");
    assert_int_equal(drain(front_end, slow), sent);
}

static void guest_close_waits_for_a_slow_host_before_its_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int slow = open_with_small_buffer(front_end);
    VsockPacket packet;

    size_t sent = fill_towards_host(front_end, 32768);
    guest_shuts_down(front_end, VSOCK_SHUTDOWN_BOTH);
    while (front_end_receive(front_end, &packet, NULL))
        assert_int_equal(packet.operation, VSOCK_OPERATION_CREDIT_UPDATE);
    assert_int_equal(drain(front_end, slow), sent);
    do
        assert_true(front_end_receive(front_end, &packet, NULL));
    while (packet.operation == VSOCK_OPERATION_CREDIT_UPDATE);
    assert_int_equal(packet.operation, VSOCK_OPERATION_RESET);
}

static void bytes_sent_before_a_reset_still_reach_a_slow_host(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int slow = open_with_small_buffer(front_end);

    size_t sent = fill_towards_host(front_end, 32768);
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, HOST_PORT, NULL, 0);
    /* The ports are free at once, whatever is left to be written. */
    _cleanup_close_ int next = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    assert_int_equal(drain(front_end, slow), sent);
    assert_host_reads(slow, "");
    guest_writes(front_end, "new");
    assert_host_reads(next, "new");
}

static void guest_that_exceeds_its_credit_is_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int slow = open_with_small_buffer(front_end);
    VsockPacket packet;

    assert_true(slow >= 0);
    (void)fill_towards_host(front_end, 128UL * 1024);
    assert_true(front_end_receive(front_end, &packet, NULL));
    while (packet.operation == VSOCK_OPERATION_CREDIT_UPDATE)
        assert_true(front_end_receive(front_end, &packet, NULL));
    assert_int_equal(packet.operation, VSOCK_OPERATION_RESET);
}

static void guest_without_credit_is_asked_once_and_served_when_it_has_some(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    VsockPacket update = {
        .source_cid = FRONT_END_CID,
        .destination_cid = VSOCK_HOST_CID,
        .source_port = GUEST_PORT,
        .destination_port = HOST_PORT,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = VSOCK_OPERATION_CREDIT_UPDATE,
    };

    front_end_send_packet(front_end, &update, NULL);
    host_writes(front_end, host, "held");
    front_end_expect(front_end, VSOCK_OPERATION_CREDIT_REQUEST, NULL);
    front_end_send_packet(front_end, &update, NULL); /* still none: no second question */
    front_end_expect_silence(front_end);
    update.buffer_size = 2;
    front_end_send_packet(front_end, &update, NULL);
    assert_guest_receives(front_end, "he");
}

static void host_dials_and_bytes_go_both_ways(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    uint32_t host_port;
    _cleanup_close_ int host = front_end_open_from_host(front_end, GUEST_PORT, &host_port);

    front_end_send(front_end, VSOCK_OPERATION_DATA, GUEST_PORT, host_port, "hi", 2);
    assert_host_reads(host, "hi");
    host_writes(front_end, host, "there");
    assert_guest_receives(front_end, "there");
}

static int dial(FrontEnd *front_end, uint32_t id)
{
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets),
                     0);
    front_end_broker_send(front_end, BROKER_DIAL, id, GUEST_PORT, sockets[1]);
    (void)fd_close(sockets[1]);
    return sockets[0];
}

static void assert_dial_failed(FrontEnd *front_end, uint32_t id, int error_number)
{
    BrokerMessage message;

    assert_true(front_end_broker_receive(front_end, &message));
    assert_int_equal(message.type, BROKER_DIALED);
    assert_int_equal(message.id, id);
    assert_int_equal(message.value, error_number);
}

static void dial_is_refused_at_once_before_the_driver_is_up(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    _cleanup_close_ int host = dial(front_end, 8);

    assert_dial_failed(front_end, 8, ENOTCONN);
    assert_host_reads(host, "");
}

static void dial_that_the_guest_resets_is_refused(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = dial(front_end, 9);
    VsockPacket packet;

    front_end_expect(front_end, VSOCK_OPERATION_REQUEST, &packet);
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, packet.source_port, NULL, 0);
    assert_dial_failed(front_end, 9, ECONNREFUSED);
    assert_host_reads(host, "");
    front_end_expect_silence(front_end);
}

static void packet_of_no_connection_is_reset_and_a_reset_is_not(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();

    guest_writes(front_end, "who");
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, HOST_PORT, NULL, 0);
    front_end_expect_silence(front_end);
}

static void foreign_addresses_and_types_reach_no_connection(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    char byte;
    VsockPacket packet = {
        .source_cid = FRONT_END_CID + 1,
        .destination_cid = VSOCK_HOST_CID,
        .source_port = GUEST_PORT,
        .destination_port = HOST_PORT,
        .size = 1,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = VSOCK_OPERATION_DATA,
    };

    front_end_send_packet(front_end, &packet, "x");
    front_end_expect_silence(front_end);

    packet.source_cid = FRONT_END_CID;
    packet.destination_cid = 9;
    front_end_send_packet(front_end, &packet, "x");
    front_end_expect(front_end, VSOCK_OPERATION_RESET, &packet);
    assert_int_equal(packet.source_cid, 9);

    packet = (VsockPacket){
        .source_cid = FRONT_END_CID,
        .destination_cid = VSOCK_HOST_CID,
        .source_port = GUEST_PORT,
        .destination_port = HOST_PORT,
        .size = 1,
        .type = 2,
        .operation = VSOCK_OPERATION_DATA,
    };
    front_end_send_packet(front_end, &packet, "x");
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    assert_int_equal(read(host, &byte, 1), -1);
}

static void connect_requests_beyond_the_limit_are_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    BrokerMessage message;
    unsigned n_asked = 0;

    for (uint32_t port = 1; port <= 65; port++)
        front_end_send(front_end, VSOCK_OPERATION_REQUEST, port, HOST_PORT, NULL, 0);
    while (front_end_broker_receive(front_end, &message))
        n_asked++;
    assert_int_equal(n_asked, 64);
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    front_end_expect_silence(front_end);
}

static void connections_beyond_the_limit_are_reset(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    int hosts[256];
    BrokerMessage message;

    for (uint32_t i = 0; i < 256; i++)
        hosts[i] = front_end_open_from_guest(front_end, 1 + i, HOST_PORT);
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, 999, HOST_PORT, NULL, 0);
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    assert_false(front_end_broker_receive(front_end, &message));
    _cleanup_close_ int host = dial(front_end, 3);
    assert_host_reads(host, "");
    assert_dial_failed(front_end, 3, ENOBUFS);

    guest_writes(front_end, "");
    fd_close_many(hosts, 256);
}

static void late_accept_for_a_guest_that_gave_up_is_closed(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    BrokerMessage message;
    int sockets[2];

    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_send(front_end, VSOCK_OPERATION_RESET, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    front_end_broker_send(front_end, BROKER_ACCEPT, message.id, 0, sockets[1]);
    (void)fd_close(sockets[1]);
    assert_host_reads(sockets[0], "");
    (void)fd_close(sockets[0]);
    front_end_expect_silence(front_end);
}

static void packet_before_the_answer_ends_the_request(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    BrokerMessage message;
    int sockets[2];

    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    guest_writes(front_end, "hasty");
    front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);

    /* Once more with the RESET still owed when the answer comes. */
    (void)front_end_stop_ring(front_end, 0);
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, 1001, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_send(front_end, VSOCK_OPERATION_DATA, 1001, HOST_PORT, "hasty", 5);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    front_end_broker_send(front_end, BROKER_ACCEPT, message.id, 0, sockets[1]);
    (void)fd_close(sockets[1]);
    assert_host_reads(sockets[0], "");
    (void)fd_close(sockets[0]);
}

static void broker_reset_drops_all_connections(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    _cleanup_close_ int dialling = dial(front_end, 4);

    front_end_expect(front_end, VSOCK_OPERATION_REQUEST, NULL);
    front_end_broker_send(front_end, BROKER_RESET, 0, 0, -EBADF);
    assert_host_reads(host, "");
    assert_host_reads(dialling, "");
    assert_dial_failed(front_end, 4, ECONNRESET);
    front_end_expect_silence(front_end);
}

static void resumed_driver_keeps_its_connections_and_a_new_one_has_none(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    uint16_t receive_base = front_end_stop_ring(front_end, 0);
    uint16_t send_base = front_end_stop_ring(front_end, 1);
    assert_int_equal(receive_base, 1);
    assert_int_equal(send_base, 1);
    host_writes(front_end, host, "paused");
    front_end_start_rings(front_end, 1);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    assert_guest_receives(front_end, "paused");

    (void)front_end_stop_ring(front_end, 0);
    (void)front_end_stop_ring(front_end, 1);
    front_end_start_rings(front_end, 0);
    assert_host_reads(host, "");
}

static void rings_wrap_at_65536(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end =
        front_end_new_started(65530, FRONT_END_FEATURES);
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    for (unsigned i = 0; i < 200; i++) {
        guest_writes(front_end, "a");
        assert_host_reads(host, "a");
        host_writes(front_end, host, "b");
        assert_guest_receives(front_end, "b");
    }
}

static void device_works_without_optional_features(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end =
        front_end_new_started(0, (UINT64_C(1) << 32) | (UINT64_C(1) << 30));
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    guest_writes(front_end, "plain");
    assert_host_reads(host, "plain");
}

static void packets_wait_for_buffers_of_the_guest(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    BrokerMessage message;

    front_end_request_u64(front_end, VHOST_USER_SET_FEATURES, FRONT_END_FEATURES);
    front_end_share_memory(front_end);
    front_end_start_rings(front_end, 0);
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_broker_send(front_end, BROKER_REFUSE, message.id, 0, -EBADF);
    /* Answers to strangers fill up, and then nothing more is read. */
    for (unsigned i = 0; i < 31; i++)
        front_end_send(front_end, VSOCK_OPERATION_DATA, 5000 + i, HOST_PORT, "x", 1);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    for (unsigned i = 0; i < 32; i++)
        front_end_expect(front_end, VSOCK_OPERATION_RESET, NULL);
    front_end_expect_silence(front_end);
}

static void reused_ports_survive_a_reset_that_was_not_delivered(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    BrokerMessage message;
    int sockets[2];

    front_end_request_u64(front_end, VHOST_USER_SET_FEATURES, FRONT_END_FEATURES);
    front_end_share_memory(front_end);
    front_end_start_rings(front_end, 0);
    guest_writes(front_end, "stale"); /* owed a RESET from here on */
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    front_end_broker_send(front_end, BROKER_REFUSE, message.id, 0, -EBADF); /* and one more */
    front_end_send(front_end, VSOCK_OPERATION_REQUEST, GUEST_PORT, HOST_PORT, NULL, 0);
    assert_true(front_end_broker_receive(front_end, &message));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    front_end_broker_send(front_end, BROKER_ACCEPT, message.id, 0, sockets[1]);
    (void)fd_close(sockets[1]);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    front_end_expect(front_end, VSOCK_OPERATION_RESPONSE, NULL);
    front_end_expect_silence(front_end);
    (void)fd_close(sockets[0]);
}

static void full_queue_of_resets_stops_reading_until_the_guest_takes_them(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();
    VsockPacket packet;
    unsigned n_resets = 0;

    front_end_request_u64(front_end, VHOST_USER_SET_FEATURES, FRONT_END_FEATURES);
    front_end_share_memory(front_end);
    front_end_start_rings(front_end, 0);
    for (unsigned i = 0; i < 280; i++)
        front_end_send(front_end, VSOCK_OPERATION_DATA, 5000 + i, HOST_PORT, "x", 1);
    /* 256 taken off the ring, the others still in it. */
    assert_int_equal(front_end->memory[front_end->rings[1].used + 2], 0);
    assert_int_equal(front_end->memory[front_end->rings[1].used + 3], 1);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    while (front_end_receive(front_end, &packet, NULL))
        n_resets++;
    assert_int_equal(n_resets, 280);
}

static void assert_ring_breaks_and_recovers(FrontEnd *front_end, size_t ring, int host)
{
    front_end_kick(front_end, ring);
    assert_true(front_end_is_broken(front_end, ring));
    assert_host_reads(host, "");

    /* The next driver finds a device that works. */
    (void)front_end_stop_ring(front_end, 0);
    (void)front_end_stop_ring(front_end, 1);
    front_end_start_rings(front_end, 0);
    front_end_post_receive_buffers(front_end, FRONT_END_RING_ENTRIES);
    int again = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    guest_writes(front_end, "fine");
    assert_host_reads(again, "fine");
    (void)fd_close(again);
}

typedef struct BadChain {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
} BadChain;

static void hostile_descriptors_break_the_ring_and_nothing_else(void **state)
{
    (void)state;
    const uint64_t end = FRONT_END_GUEST_BASE + FRONT_END_MEMORY_SIZE;
    const BadChain chains[] = {
        { FRONT_END_GUEST_BASE, 0, 0, 0 },                      /* empty */
        { FRONT_END_GUEST_BASE - 1, 44, 0, 0 },                 /* below the region */
        { end - 43, 44, 0, 0 },                                 /* one byte beyond it */
        { UINT64_MAX - 20, 44, 0, 0 },                          /* wraps around */
        { FRONT_END_GUEST_BASE, 43, 0, 0 },                     /* shorter than a header */
        { FRONT_END_GUEST_BASE, 44, VRING_DESC_F_WRITE, 0 },    /* the wrong way */
        { FRONT_END_GUEST_BASE, 44, VRING_DESC_F_NEXT, 60 },    /* a loop */
        { FRONT_END_GUEST_BASE, 44, VRING_DESC_F_NEXT, 64 },    /* outside the table */
        { FRONT_END_GUEST_BASE, 24, VRING_DESC_F_INDIRECT, 0 }, /* no multiple of 16 */
        { FRONT_END_GUEST_BASE, 0, VRING_DESC_F_INDIRECT, 0 },  /* an empty table */
        { end, 16, VRING_DESC_F_INDIRECT, 0 },                  /* a table nowhere */
        { FRONT_END_GUEST_BASE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 },
    };

    for (size_t i = 0; i < ELEMENTS_OF(chains); i++) {
        _cleanup_(front_end_freep) FrontEnd *front_end = started();
        _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

        front_end_put_descriptor(front_end, front_end->rings[1].descriptors, 60, chains[i].address,
                                 chains[i].size, chains[i].flags, chains[i].next);
        front_end_offer(front_end, 1, 60);
        assert_ring_breaks_and_recovers(front_end, 1, host);
    }
}

static void header_longer_than_its_buffers_breaks_the_ring(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);
    VsockPacket packet = {
        .source_cid = FRONT_END_CID,
        .destination_cid = VSOCK_HOST_CID,
        .size = FRONT_END_BUFFER_SIZE + 1,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = VSOCK_OPERATION_DATA,
    };

    front_end_send_packet(front_end, &packet, NULL);
    assert_ring_breaks_and_recovers(front_end, 1, host);
}

static void impossible_available_index_breaks_the_ring(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = started();
    _cleanup_close_ int host = front_end_open_from_guest(front_end, GUEST_PORT, HOST_PORT);

    front_end->rings[1].available_index += FRONT_END_RING_ENTRIES;
    front_end_offer(front_end, 1, 0);
    assert_ring_breaks_and_recovers(front_end, 1, host);
}

static void receive_buffer_without_room_for_payload_breaks_the_ring(void **state)
{
    (void)state;
    _cleanup_(front_end_freep) FrontEnd *front_end = front_end_new();

    front_end_request_u64(front_end, VHOST_USER_SET_FEATURES, FRONT_END_FEATURES);
    front_end_share_memory(front_end);
    front_end_start_rings(front_end, 0);
    front_end_put_descriptor(front_end, front_end->rings[0].descriptors, 0,
                             FRONT_END_GUEST_BASE + front_end->rings[0].buffers,
                             VSOCK_PACKET_HEADER_SIZE, VRING_DESC_F_WRITE, 0);
    front_end_offer(front_end, 0, 0);
    front_end_kick(front_end, 0);
    assert_false(front_end_is_broken(front_end, 0)); /* nothing to be sent, nothing looked at */
    guest_writes(front_end, "who");
    assert_true(front_end_is_broken(front_end, 0));
}

static int exit_code_of(FrontEnd *front_end)
{
    int code = 12345;

    assert_false(front_end_step(front_end, &code));
    return code;
}

static void device_ends_well_when_a_peer_closes(void **state)
{
    (void)state;
    FrontEnd *front_end = started();

    front_end->socket_fd = fd_close(front_end->socket_fd);
    assert_int_equal(exit_code_of(front_end), 0);
    front_end_free(front_end);

    front_end = started();
    front_end->broker_fd = fd_close(front_end->broker_fd);
    assert_int_equal(exit_code_of(front_end), 0);
    front_end_free(front_end);
}

static void device_ends_badly_when_a_peer_breaks_its_protocol(void **state)
{
    (void)state;
    FrontEnd *front_end = started();

    front_end_request(front_end, 40, NULL, 0, NULL, 0);
    assert_true(exit_code_of(front_end) < 0);
    assert_non_null(strstr(device_get_error(front_end->device), "40"));
    front_end_free(front_end);

    front_end = started();
    front_end_broker_send(front_end, BROKER_REFUSE, 1234, 0, -EBADF);
    assert_true(exit_code_of(front_end) < 0);
    assert_non_null(strstr(device_get_error(front_end->device), "1234"));
    front_end_free(front_end);

    front_end = started();
    front_end_broker_send(front_end, BROKER_DIAL, 1, GUEST_PORT, -EBADF);
    assert_true(exit_code_of(front_end) < 0);
    front_end_free(front_end);

    front_end = started();
    front_end_broker_send(front_end, BROKER_DIAL, 1, GUEST_PORT, front_end->memory_fd);
    assert_true(exit_code_of(front_end) < 0);
    front_end_free(front_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_and_configuration_are_told_to_the_front_end),
        cmocka_unit_test(acknowledgement_is_sent_when_asked_for),
        cmocka_unit_test(guest_connects_and_bytes_go_both_ways),
        cmocka_unit_test(refused_request_is_reset),
        cmocka_unit_test(guest_half_close_keeps_the_other_direction),
        cmocka_unit_test(host_half_close_keeps_the_other_direction),
        cmocka_unit_test(guest_close_is_answered_by_a_reset),
        cmocka_unit_test(host_close_delivers_its_last_bytes_first),
        cmocka_unit_test(bytes_to_a_closed_host_raise_no_signal_and_tell_the_guest),
        cmocka_unit_test(slow_host_holds_up_nobody_else),
        cmocka_unit_test(guest_close_waits_for_a_slow_host_before_its_reset),
        cmocka_unit_test(bytes_sent_before_a_reset_still_reach_a_slow_host),
        cmocka_unit_test(guest_that_exceeds_its_credit_is_reset),
        cmocka_unit_test(guest_without_credit_is_asked_once_and_served_when_it_has_some),
        cmocka_unit_test(host_dials_and_bytes_go_both_ways),
        cmocka_unit_test(dial_is_refused_at_once_before_the_driver_is_up),
        cmocka_unit_test(dial_that_the_guest_resets_is_refused),
        cmocka_unit_test(packet_of_no_connection_is_reset_and_a_reset_is_not),
        cmocka_unit_test(foreign_addresses_and_types_reach_no_connection),
        cmocka_unit_test(connect_requests_beyond_the_limit_are_reset),
        cmocka_unit_test(connections_beyond_the_limit_are_reset),
        cmocka_unit_test(late_accept_for_a_guest_that_gave_up_is_closed),
        cmocka_unit_test(packet_before_the_answer_ends_the_request),
        cmocka_unit_test(broker_reset_drops_all_connections),
        cmocka_unit_test(resumed_driver_keeps_its_connections_and_a_new_one_has_none),
        cmocka_unit_test(rings_wrap_at_65536),
        cmocka_unit_test(device_works_without_optional_features),
        cmocka_unit_test(packets_wait_for_buffers_of_the_guest),
        cmocka_unit_test(reused_ports_survive_a_reset_that_was_not_delivered),
        cmocka_unit_test(full_queue_of_resets_stops_reading_until_the_guest_takes_them),
        cmocka_unit_test(hostile_descriptors_break_the_ring_and_nothing_else),
        cmocka_unit_test(header_longer_than_its_buffers_breaks_the_ring),
        cmocka_unit_test(impossible_available_index_breaks_the_ring),
        cmocka_unit_test(receive_buffer_without_room_for_payload_breaks_the_ring),
        cmocka_unit_test(device_ends_well_when_a_peer_closes),
        cmocka_unit_test(device_ends_badly_when_a_peer_breaks_its_protocol),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
