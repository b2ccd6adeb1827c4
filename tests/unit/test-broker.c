/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "protocol/broker-message.h"
#include "tests/helpers/test.h"

#define DIALS_MAX 64

typedef struct Fixture {
    sd_event *event;
    Broker *broker;
    int device; /* vsock-device's end */
    int stream; /* what connect hands out; negative: it refuses */
    uint32_t port, dialed_id;
    int dialed_error;
    unsigned n_dialed, n_failed;
} Fixture;

static int on_connect(void *userdata, uint32_t port, int *ret_fd)
{
    Fixture *fixture = userdata;

    fixture->port = port;
    if (fixture->stream < 0)
        return -ECONNREFUSED;
    *ret_fd = take_fd(&fixture->stream);
    return 0;
}

static void on_dialed(void *userdata, uint32_t id, int error_number)
{
    Fixture *fixture = userdata;

    fixture->n_dialed++;
    fixture->dialed_id = id;
    fixture->dialed_error = error_number;
}

static void on_failed(void *userdata, const char *sentence)
{
    assert_non_null(sentence);
    ((Fixture *)userdata)->n_failed++;
}

static const BrokerHandlers handlers = { on_connect, on_dialed, on_failed };

static void start(Fixture *fixture)
{
    int pair[2];

    *fixture = (Fixture){ .stream = -EBADF };
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fixture->device = pair[1];
    assert_int_equal(broker_new(fixture->event, pair[0], &handlers, fixture, &fixture->broker), 0);
}

static void end(Fixture *fixture)
{
    assert_null(broker_free(fixture->broker));
    assert_null(broker_free(NULL));
    fixture->device = fd_close(fixture->device);
    sd_event_unref(fixture->event);
}

static int setup(void **state)
{
    static Fixture fixture;

    start(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    end(*state);
    return 0;
}

static void run(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        ;
}

static void say(Fixture *fixture, BrokerMessageType type, uint32_t id, uint32_t value)
{
    const BrokerMessage message = { .type = type, .id = id, .value = value };
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    broker_message_encode(&message, bytes);
    assert_int_equal(fd_message_send(fixture->device, bytes, sizeof(bytes), NULL, 0), 0);
    run(fixture);
}

/* Returns the descriptor that came along, or a negative number. */
static int hear(Fixture *fixture, BrokerMessageType type, uint32_t id, uint32_t value)
{
    BrokerMessage message;
    uint8_t bytes[BROKER_MESSAGE_SIZE];
    size_t size, n_fds;
    int fd = -EBADF;

    assert_int_equal(
        fd_message_receive(fixture->device, bytes, sizeof(bytes), &size, &fd, 1, &n_fds), 0);
    assert_int_equal(broker_message_decode(bytes, size, &message), 0);
    assert_int_equal(message.type, type);
    assert_int_equal(message.id, id);
    assert_int_equal(message.value, value);
    assert_int_equal(n_fds, broker_message_type_count_fds(type));
    return fd;
}

static void connection_is_accepted_with_its_stream(void **state)
{
    Fixture *fixture = *state;
    int pair[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fixture->stream = pair[0];
    say(fixture, BROKER_CONNECT, 7, 2048);
    assert_int_equal(fixture->port, 2048);
    int fd = hear(fixture, BROKER_ACCEPT, 7, 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(read(pair[1], &byte, 1), 1);
    /* The broker has let go of its own: with this one the stream ends. */
    (void)fd_close(fd);
    assert_int_equal(read(pair[1], &byte, 1), 0);
    (void)fd_close(pair[1]);
}

static void connection_is_refused(void **state)
{
    Fixture *fixture = *state;

    say(fixture, BROKER_CONNECT, UINT32_MAX, UINT32_MAX);
    assert_int_equal(fixture->port, UINT32_MAX);
    assert_int_equal(hear(fixture, BROKER_REFUSE, UINT32_MAX, 0), -EBADF);
    assert_int_equal(fixture->n_failed, 0);
}

static void dial_ends_with_what_the_device_says(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(broker_dial(fixture->broker, 1, 5000, fixture->device), 0);
    assert_int_equal(broker_dial(fixture->broker, 2, 5001, fixture->device), 0);
    (void)fd_close(hear(fixture, BROKER_DIAL, 1, 5000));
    (void)fd_close(hear(fixture, BROKER_DIAL, 2, 5001));
    say(fixture, BROKER_DIALED, 2, ECONNREFUSED);
    assert_int_equal(fixture->dialed_id, 2);
    assert_int_equal(fixture->dialed_error, ECONNREFUSED);
    say(fixture, BROKER_DIALED, 1, 0);
    assert_int_equal(fixture->dialed_id, 1);
    assert_int_equal(fixture->dialed_error, 0);
    assert_int_equal(fixture->n_failed, 0);
    say(fixture, BROKER_DIALED, 1, 0); /* a second time */
    assert_int_equal(fixture->n_dialed, 2);
    assert_int_equal(fixture->n_failed, 1);
}

static void dials_are_on_their_way_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;

    for (uint32_t id = 0; id < DIALS_MAX; id++) {
        assert_int_equal(broker_dial(fixture->broker, id, 1024, fixture->device), 0);
        (void)fd_close(hear(fixture, BROKER_DIAL, id, 1024));
    }
    assert_int_equal(broker_dial(fixture->broker, DIALS_MAX, 1024, fixture->device), -EBUSY);
    say(fixture, BROKER_DIALED, 10, 0);
    assert_int_equal(broker_dial(fixture->broker, DIALS_MAX, 1024, fixture->device), 0);
}

static void errno_that_there_is_none_of_is_no_success(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(broker_dial(fixture->broker, 1, 1024, fixture->device), 0);
    say(fixture, BROKER_DIALED, 1, 4096);
    assert_int_equal(fixture->n_dialed, 0);
    assert_int_equal(fixture->n_failed, 1);
}

static void breach_of_the_protocol_ends_it_once(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[BROKER_MESSAGE_SIZE + 1];
        size_t size;
        size_t n_fds;
    } cases[] = {
        { { 0 }, 12, 0 },
        { { BROKER_ACCEPT }, 12, 0 },
        { { BROKER_REFUSE }, 12, 0 },
        { { BROKER_DIAL }, 12, 0 },
        { { BROKER_RESET }, 12, 0 },
        { { BROKER_RESET + 1 }, 12, 0 },
        { { BROKER_DIALED }, 12, 0 }, /* of an id that is not on its way */
        { { BROKER_CONNECT }, 11, 0 },
        { { BROKER_CONNECT }, 13, 0 },
        { { BROKER_CONNECT }, 12, 1 }, /* none travel up */
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Fixture fixture;

        start(&fixture);
        for (unsigned twice = 0; twice < 2; twice++)
            assert_int_equal(fd_message_send(fixture.device, cases[i].bytes, cases[i].size,
                                             &fixture.device, cases[i].n_fds),
                             0);
        run(&fixture);
        assert_int_equal(fixture.n_failed, 1);
        end(&fixture);
    }
}

static void device_that_is_gone_is_told(void **state)
{
    Fixture *fixture = *state;

    fixture->device = fd_close(fixture->device);
    run(fixture);
    assert_int_equal(fixture->n_failed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connection_is_accepted_with_its_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(connection_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(dial_ends_with_what_the_device_says, setup, teardown),
        cmocka_unit_test_setup_teardown(dials_are_on_their_way_up_to_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(errno_that_there_is_none_of_is_no_success, setup, teardown),
        cmocka_unit_test(breach_of_the_protocol_ends_it_once),
        cmocka_unit_test_setup_teardown(device_that_is_gone_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
