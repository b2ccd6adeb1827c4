/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/output-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

typedef struct Fixture {
    OutputStream stream;
    int host_fd;
} Fixture;

static int set_up(void **state)
{
    static Fixture fixture;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    output_stream_init(&fixture.stream);
    output_stream_take_fd(&fixture.stream, fds[0]);
    fixture.host_fd = fds[1];
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    output_stream_deinit(&fixture->stream);
    fixture->host_fd = fd_close(fixture->host_fd);
    return 0;
}

static void bytes_wait_for_a_socket(void **state)
{
    Fixture *fixture = *state;
    int fd = take_fd(&fixture->stream.fd);
    char text[8] = { 0 };

    assert_int_equal(output_stream_append(&fixture->stream, "early", 5), 0);
    output_stream_flush(&fixture->stream);
    assert_false(output_stream_has_pending(&fixture->stream));

    output_stream_take_fd(&fixture->stream, fd);
    assert_true(output_stream_has_pending(&fixture->stream));
    output_stream_flush(&fixture->stream);
    assert_int_equal(read(fixture->host_fd, text, sizeof(text)), 5);
    assert_string_equal(text, "early");
}

static void what_does_not_fit_is_refused_whole(void **state)
{
    static char data[OUTPUT_STREAM_CAPACITY];
    OutputStream *stream = &((Fixture *)*state)->stream;

    assert_int_equal(output_stream_append(stream, data, sizeof(data) - 1), 0);
    assert_int_equal(output_stream_append(stream, data, 2), -ENOBUFS);
    assert_int_equal(output_stream_append(stream, data, 1), 0);
    assert_false(output_stream_has_room(stream));
}

static void nothing_is_lost_before_a_slow_host(void **state)
{
    enum {
        TOTAL = 1000000
    };
    Fixture *fixture = *state;
    OutputStream *stream = &fixture->stream;
    unsigned sent = 0, received = 0;

    while (received < TOTAL) {
        unsigned char piece[1000];

        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (unsigned char)((sent + i) % 251);
        if (sent < TOTAL && output_stream_append(stream, piece, sizeof(piece)) == 0)
            sent += sizeof(piece);
        output_stream_flush(stream);

        ssize_t n = read(fixture->host_fd, piece, 777);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(piece[i], received++ % 251);
    }
}

static void bytes_of_a_pipe_pass_through_to_its_end(void **state)
{
    Fixture *fixture = *state;
    char text[8] = { 0 };
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(output_stream_read_from(&fixture->stream, fds[0]), 1);
    assert_int_equal(write(fds[1], "hello", 5), 5);
    (void)close(fds[1]);
    assert_int_equal(output_stream_read_from(&fixture->stream, fds[0]), 1);
    assert_int_equal(output_stream_read_from(&fixture->stream, fds[0]), 0);
    (void)close(fds[0]);

    output_stream_flush(&fixture->stream);
    assert_int_equal(read(fixture->host_fd, text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
}

static void host_that_hangs_up_does_not_stop_the_writer(void **state)
{
    Fixture *fixture = *state;
    int fds[2];

    fixture->host_fd = fd_close(fixture->host_fd);
    assert_int_equal(output_stream_append(&fixture->stream, "x", 1), 0);
    output_stream_flush(&fixture->stream);
    assert_true(fixture->stream.gone);

    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(output_stream_append(&fixture->stream, "0123456789", 10), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "hello", 5), 5);
    assert_int_equal(output_stream_read_from(&fixture->stream, fds[0]), 1);
    assert_true(output_stream_has_room(&fixture->stream));
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(output_stream_finish(&fixture->stream, deadline_in_msec(0)), -ECONNRESET);
}

static void end_waits_for_the_host_to_close(void **state)
{
    Fixture *fixture = *state;
    char text[8] = { 0 };

    assert_int_equal(output_stream_append(&fixture->stream, "last", 4), 0);
    assert_int_equal(output_stream_finish(&fixture->stream, deadline_in_msec(0)), -ETIMEDOUT);
    assert_int_equal(read(fixture->host_fd, text, sizeof(text)), 4);
    assert_string_equal(text, "last");
    assert_int_equal(read(fixture->host_fd, text, sizeof(text)), 0);

    fixture->host_fd = fd_close(fixture->host_fd);
    assert_int_equal(output_stream_finish(&fixture->stream, deadline_in_msec(0)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_wait_for_a_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_before_a_slow_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_of_a_pipe_pass_through_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(host_that_hangs_up_does_not_stop_the_writer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(end_waits_for_the_host_to_close, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
