/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/broker-client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/fd-message.h"
#include "common/fd.h"

typedef struct Fixture {
    BrokerClient broker;
    int peer;
} Fixture;

/* Only its address is used. */
static Stream *const some_stream = (Stream *)(uintptr_t)0x1000;

static void init(Fixture *fixture)
{
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    broker_client_init(&fixture->broker, sockets[0]);
    fixture->peer = sockets[1];
}

static void deinit(Fixture *fixture)
{
    broker_client_deinit(&fixture->broker);
    fixture->peer = fd_close(fixture->peer);
}

static void send_message(Fixture *fixture, BrokerMessageType type, uint32_t id, int fd)
{
    BrokerMessage message = { .type = type, .id = id };
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    broker_message_encode(&message, bytes);
    assert_int_equal(fd_message_send(fixture->peer, bytes, sizeof(bytes), &fd, fd >= 0 ? 1 : 0), 0);
}

static int receive(Fixture *fixture, BrokerMessage *ret_message, Stream **ret_stream)
{
    int fd = -EBADF;

    int r = broker_client_receive(&fixture->broker, ret_message, &fd, ret_stream, NULL);
    (void)fd_close(fd);
    return r;
}

static void answer_finds_its_stream_once(void **state)
{
    (void)state;
    Fixture fixture;
    BrokerMessage message;
    Stream *stream;

    init(&fixture);
    broker_client_connect(&fixture.broker, some_stream, 80);
    send_message(&fixture, BROKER_REFUSE, 1, -EBADF);
    assert_int_equal(receive(&fixture, &message, &stream), 1);
    assert_int_equal(message.type, BROKER_REFUSE);
    assert_ptr_equal(stream, some_stream);
    assert_int_equal(receive(&fixture, &message, &stream), 0);
    send_message(&fixture, BROKER_REFUSE, 1, -EBADF);
    assert_true(receive(&fixture, &message, &stream) < 0);
    deinit(&fixture);
}

static void forgotten_stream_is_not_found(void **state)
{
    (void)state;
    Fixture fixture;
    BrokerMessage message;
    Stream *stream = some_stream;

    init(&fixture);
    broker_client_connect(&fixture.broker, some_stream, 80);
    broker_client_forget(&fixture.broker, some_stream);
    send_message(&fixture, BROKER_REFUSE, 1, -EBADF);
    assert_int_equal(receive(&fixture, &message, &stream), 1);
    assert_null(stream);
    deinit(&fixture);
}

static void sixty_four_requests_may_be_pending(void **state)
{
    (void)state;
    Fixture fixture;
    BrokerMessage message;
    Stream *stream;

    init(&fixture);
    for (unsigned i = 0; i < BROKER_PENDING_MAX; i++) {
        assert_false(broker_client_is_full(&fixture.broker));
        broker_client_connect(&fixture.broker, some_stream, 80);
    }
    assert_true(broker_client_is_full(&fixture.broker));
    send_message(&fixture, BROKER_REFUSE, 17, -EBADF);
    assert_int_equal(receive(&fixture, &message, &stream), 1);
    assert_false(broker_client_is_full(&fixture.broker));
    deinit(&fixture);
}

static void numbers_of_pending_requests_are_not_given_again(void **state)
{
    (void)state;
    Fixture fixture;
    uint8_t bytes[BROKER_MESSAGE_SIZE];
    BrokerMessage message;

    init(&fixture);
    broker_client_connect(&fixture.broker, some_stream, 80);
    fixture.broker.last_id = 0; /* 2^32 requests later */
    broker_client_connect(&fixture.broker, some_stream, 80);
    assert_int_equal(read(fixture.peer, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(read(fixture.peer, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(broker_message_decode(bytes, sizeof(bytes), &message), 0);
    assert_int_equal(message.id, 2);
    deinit(&fixture);
}

static void messages_wait_for_a_full_socket(void **state)
{
    (void)state;
    Fixture fixture;
    uint8_t bytes[BROKER_MESSAGE_SIZE];
    BrokerMessage message;
    uint32_t n_sent = 0;

    init(&fixture);
    while (!broker_client_has_queued(&fixture.broker))
        broker_client_report_dial(&fixture.broker, n_sent++, 0);
    for (uint32_t id = 0; id < n_sent; id++) {
        assert_int_equal(read(fixture.peer, bytes, sizeof(bytes)), sizeof(bytes));
        assert_int_equal(broker_message_decode(bytes, sizeof(bytes), &message), 0);
        assert_int_equal(message.id, id);
        assert_int_equal(broker_client_flush(&fixture.broker), 0);
    }
    assert_false(broker_client_has_queued(&fixture.broker));
    deinit(&fixture);
}

static void assert_violation(BrokerMessageType type, int fd)
{
    Fixture fixture;
    BrokerMessage message;
    Stream *stream;

    init(&fixture);
    broker_client_connect(&fixture.broker, some_stream, 80);
    send_message(&fixture, type, 1, fd);
    int r = receive(&fixture, &message, &stream);
    assert_true(r < 0 && r != -ECONNRESET);
    deinit(&fixture);
}

static void messages_are_checked(void **state)
{
    (void)state;
    int sockets[2], datagrams[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams), 0);
    assert_violation(BROKER_ACCEPT, -EBADF);
    assert_violation(BROKER_ACCEPT, datagrams[0]);
    assert_violation(BROKER_DIAL, -EBADF);
    assert_violation(BROKER_REFUSE, sockets[0]);
    assert_violation(BROKER_RESET, sockets[0]);
    assert_violation(BROKER_CONNECT, -EBADF);
    assert_violation(BROKER_DIALED, -EBADF);
    fd_close_many(sockets, 2);
    fd_close_many(datagrams, 2);

    Fixture fixture;
    BrokerMessage message;
    Stream *stream;
    init(&fixture);
    assert_int_equal(write(fixture.peer, "short", 5), 5);
    assert_true(receive(&fixture, &message, &stream) < 0);
    fixture.peer = fd_close(fixture.peer);
    assert_int_equal(receive(&fixture, &message, &stream), -ECONNRESET);
    deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_finds_its_stream_once),
        cmocka_unit_test(forgotten_stream_is_not_found),
        cmocka_unit_test(sixty_four_requests_may_be_pending),
        cmocka_unit_test(numbers_of_pending_requests_are_not_given_again),
        cmocka_unit_test(messages_wait_for_a_full_socket),
        cmocka_unit_test(messages_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
