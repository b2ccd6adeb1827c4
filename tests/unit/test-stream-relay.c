/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/stream-relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define BIG_SIZE ((size_t)3 << 20) /* more than everything between the ends holds */

typedef struct Fixture {
    sd_event *event;
    unsigned n_done;
    size_t taken_max; /* of all that comes: what inspect() lets pass */
} Fixture;

static void on_done(void *userdata)
{
    Fixture *fixture = userdata;

    fixture->n_done++;
}

static size_t inspect(void *userdata, const uint8_t *bytes, size_t size)
{
    Fixture *fixture = userdata;
    size_t passed = size < fixture->taken_max ? size : fixture->taken_max;

    (void)bytes;
    fixture->taken_max -= passed;
    return passed;
}

static void set_up(Fixture *fixture)
{
    *fixture = (Fixture){ .taken_max = SIZE_MAX };
    assert_true(sd_event_new(&fixture->event) >= 0);
}

static StreamRelay *relay(Fixture *fixture, int source, int destination)
{
    static const StreamRelayHandlers handlers = { .inspect = inspect, .on_done = on_done };
    StreamRelay *new_relay = NULL;

    assert_int_equal(
        stream_relay_new(fixture->event, source, destination, &handlers, fixture, &new_relay), 0);
    return new_relay;
}

static void run_until_idle(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        continue;
}

static void files_and_sockets_get_every_byte(void **state)
{
    int source = memfd_create("source", MFD_CLOEXEC), ends[2];
    char bytes[64] = { 0 };
    Fixture fixture;

    (void)state;
    set_up(&fixture);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fd_pwrite_all(source, "from a file", 11, 0), 0);
    StreamRelay *up = relay(&fixture, source, ends[0]);
    run_until_idle(&fixture);
    assert_int_equal(fixture.n_done, 1);
    assert_true(stream_relay_is_done(up));
    assert_int_equal(stream_relay_get_error(up), 0);
    assert_int_equal(recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT), 11);
    assert_string_equal(bytes, "from a file");
    stream_relay_free(up);

    int file = memfd_create("copy", MFD_CLOEXEC);
    StreamRelay *down = relay(&fixture, ends[0], file);
    assert_int_equal(send(ends[1], "to a file", 9, 0), 9);
    (void)fd_close(ends[1]);
    run_until_idle(&fixture);
    assert_int_equal(fixture.n_done, 2);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(pread(file, bytes, sizeof(bytes), 0), 9);
    assert_string_equal(bytes, "to a file");
    stream_relay_free(down);
    (void)fd_close(ends[0]);
    (void)fd_close(source);
    (void)fd_close(file);
    sd_event_unref(fixture.event);
}

/* Neither end is made non-blocking, and no read is ahead of the writes by more than is queued. */
static void slow_destinations_hold_up_the_source(void **state)
{
    int source[2], destination[2];
    static char bytes[65536];
    size_t written = 0, read_back = 0;
    Fixture fixture;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pipe2(source, O_CLOEXEC), 0);
    assert_int_equal(pipe2(destination, O_CLOEXEC), 0);
    assert_int_equal(fd_set_nonblocking(source[1], true), 0);
    assert_int_equal(fd_set_nonblocking(destination[0], true), 0);
    StreamRelay *copy = relay(&fixture, source[0], destination[1]);
    for (ssize_t n = 1; n > 0;) {
        n = write(source[1], bytes, sizeof(bytes));
        written += n > 0 ? (size_t)n : 0;
        run_until_idle(&fixture);
        assert_true(written < BIG_SIZE);
    }
    assert_int_equal(fcntl(source[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(destination[1], F_GETFL) & O_NONBLOCK, 0);
    source[1] = fd_close(source[1]);
    while (fixture.n_done == 0 || read_back < written) {
        ssize_t n = read(destination[0], bytes, sizeof(bytes));
        read_back += n > 0 ? (size_t)n : 0;
        run_until_idle(&fixture);
    }
    assert_int_equal(read_back, written);
    stream_relay_free(copy);
    (void)fd_close(source[0]);
    fd_close_many(destination, 2);
    sd_event_unref(fixture.event);
}

static void destinations_that_go_are_an_error(void **state)
{
    int source[2], destination[2];
    Fixture fixture;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pipe2(source, O_CLOEXEC), 0);
    assert_int_equal(pipe2(destination, O_CLOEXEC), 0);
    StreamRelay *copy = relay(&fixture, source[0], destination[1]);
    destination[0] = fd_close(destination[0]);
    assert_int_equal(write(source[1], "x", 1), 1);
    run_until_idle(&fixture);
    assert_int_equal(fixture.n_done, 1);
    assert_int_equal(stream_relay_get_error(copy), -EPIPE);
    stream_relay_free(copy);
    fd_close_many(source, 2);
    (void)fd_close(destination[1]);
    sd_event_unref(fixture.event);
}

static void what_is_not_let_pass_is_the_end(void **state)
{
    int source[2], file = memfd_create("copy", MFD_CLOEXEC);
    char bytes[64] = { 0 };
    Fixture fixture;

    (void)state;
    set_up(&fixture);
    fixture.taken_max = 8;
    assert_int_equal(pipe2(source, O_CLOEXEC), 0);
    StreamRelay *copy = relay(&fixture, source[0], file);
    assert_int_equal(write(source[1], "first", 5), 5);
    run_until_idle(&fixture);
    assert_int_equal(fixture.n_done, 0);
    assert_int_equal(write(source[1], "second", 6), 6);
    run_until_idle(&fixture);
    assert_int_equal(fixture.n_done, 1);
    assert_int_equal(stream_relay_get_error(copy), 0);
    assert_int_equal(pread(file, bytes, sizeof(bytes), 0), 8);
    assert_string_equal(bytes, "firstsec");
    stream_relay_free(copy);
    fd_close_many(source, 2);
    (void)fd_close(file);
    sd_event_unref(fixture.event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_sockets_get_every_byte),
        cmocka_unit_test(slow_destinations_hold_up_the_source),
        cmocka_unit_test(destinations_that_go_are_an_error),
        cmocka_unit_test(what_is_not_let_pass_is_the_end),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
