/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/stream-readers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "protocol/console.h"
#include "tests/helpers/test.h"
#include "vmm-launcher/output.h"

#define PAST "the past, "

typedef struct Fixture {
    sd_event *event;
    ByteRing past;
    StreamReaders readers;
    char typed[64];
} Fixture;

static void on_typed(void *userdata, const char *bytes, size_t size)
{
    Fixture *fixture = userdata;

    assert_true(strlen(fixture->typed) + size < sizeof(fixture->typed));
    strncat(fixture->typed, bytes, size);
}

static int setup(void **state)
{
    static Fixture fixture;

    (void)signal(SIGPIPE, SIG_IGN); /* as the supervisor has it */
    memset(&fixture, 0, sizeof(fixture));
    assert_true(sd_event_new(&fixture.event) >= 0);
    byte_ring_init(&fixture.past, sizeof(PAST) - 1);
    assert_int_equal(byte_ring_write(&fixture.past, "forgotten" PAST, 9 + sizeof(PAST) - 1), 0);
    stream_readers_init(&fixture.readers, fixture.event, 0, on_typed, &fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    stream_readers_deinit(&fixture->readers);
    byte_ring_deinit(&fixture->past);
    sd_event_unref(fixture->event);
    return 0;
}

/* Returns the result; the client's end is *@ret_client. */
static int add(Fixture *fixture, bool writes, int *ret_client)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *ret_client = pair[0];
    return stream_readers_add(&fixture->readers, &fixture->past, pair[1], writes);
}

static void run_loop(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        continue;
}

static void assert_next(int client, const char *text)
{
    char bytes[64] = "";

    assert_int_equal(recv(client, bytes, sizeof(bytes) - 1, MSG_DONTWAIT), strlen(text));
    assert_string_equal(bytes, text);
}

static void assert_ended(int client)
{
    char byte;

    assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
}

static void reader_gets_the_past_and_what_comes(void **state)
{
    Fixture *fixture = *state;
    int first, second;

    assert_int_equal(add(fixture, false, &first), 0);
    stream_readers_write(&fixture->readers, "present", 7);
    assert_int_equal(add(fixture, false, &second), 0);
    stream_readers_write(&fixture->readers, ".", 1);
    assert_next(first, PAST "present.");
    assert_next(second, PAST ".");
    (void)fd_close(first);
    run_loop(fixture);
    assert_int_equal(fixture->readers.n_readers, 1);
    (void)fd_close(second);
}

static void reader_cannot_type(void **state)
{
    Fixture *fixture = *state;
    int client;

    assert_int_equal(add(fixture, false, &client), 0);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    run_loop(fixture);
    assert_string_equal(fixture->typed, "");
    (void)fd_close(client);
}

static void there_is_one_writer(void **state)
{
    Fixture *fixture = *state;
    int first, second;

    assert_int_equal(add(fixture, true, &first), 0);
    assert_int_equal(add(fixture, true, &second), -EBUSY);
    assert_ended(second);
    (void)fd_close(second);
    assert_int_equal(send(first, "one", 3, 0), 3);
    run_loop(fixture);
    assert_string_equal(fixture->typed, "one");

    /* What it sends and nobody reads any more makes no error of its end. */
    assert_int_equal(send(first, "late", 4, 0), 4);
    stream_readers_end_writer(&fixture->readers);
    assert_next(first, PAST);
    assert_ended(first);
    (void)fd_close(first);
    assert_int_equal(add(fixture, true, &second), 0);
    assert_int_equal(send(second, ",two", 4, 0), 4);
    run_loop(fixture);
    assert_string_equal(fixture->typed, "one,two");
    (void)fd_close(second);
}

static void writer_that_stops_typing_reads_on(void **state)
{
    Fixture *fixture = *state;
    int first, second;

    assert_int_equal(add(fixture, true, &first), 0);
    assert_int_equal(shutdown(first, SHUT_WR), 0);
    run_loop(fixture);
    assert_int_equal(add(fixture, true, &second), 0);
    stream_readers_write(&fixture->readers, "on", 2);
    assert_next(first, PAST "on");
    (void)fd_close(first);
    (void)fd_close(second);
    run_loop(fixture);
    assert_int_equal(fixture->readers.n_readers, 0);
    assert_null(fixture->readers.writer);
}

static void readers_are_taken_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;
    int clients[CONSOLE_READERS_MAX + 1];

    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        assert_int_equal(add(fixture, false, &clients[i]), i < CONSOLE_READERS_MAX ? 0 : -EUSERS);
    assert_ended(clients[CONSOLE_READERS_MAX]);
    for (size_t i = 0; i < ELEMENTS_OF(clients); i++)
        (void)fd_close(clients[i]);
}

static void slow_reader_is_bounded_and_gets_what_is_kept_after_the_end(void **state)
{
    Fixture *fixture = *state;
    static char block[4096];
    size_t size = 0;
    int slow, other;
    ssize_t n;

    memset(block, 'x', sizeof(block));
    assert_int_equal(add(fixture, false, &slow), 0);
    for (int i = 0; i < 1000; i++)
        stream_readers_write(&fixture->readers, block, sizeof(block));
    assert_true(stream_readers_are_behind(&fixture->readers));
    assert_int_equal(add(fixture, false, &other), 0);
    stream_readers_end(&fixture->readers);
    assert_next(other, PAST);
    assert_ended(other);
    assert_int_equal(fixture->readers.n_readers, 1);
    (void)fd_close(other);
    do {
        n = recv(slow, block, sizeof(block), MSG_DONTWAIT);
        size += n > 0 ? (size_t)n : 0;
        run_loop(fixture);
    } while (n > 0);
    assert_int_equal(n, 0);
    assert_in_range(size, OUTPUT_PENDING_MAX, 999 * sizeof(block));
    assert_int_equal(fixture->readers.n_readers, 0);
    assert_int_equal(add(fixture, false, &other), -ESHUTDOWN);
    (void)fd_close(other);
    (void)fd_close(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reader_gets_the_past_and_what_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(reader_cannot_type, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_one_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(writer_that_stops_typing_reads_on, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_are_taken_up_to_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader_is_bounded_and_gets_what_is_kept_after_the_end,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
