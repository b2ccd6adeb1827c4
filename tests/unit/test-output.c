/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define PIPE_SIZE 4096

typedef struct Fixture {
    sd_event *event;
    Output *output;
    int reader;
    unsigned n_drained;
} Fixture;

static void on_drained(void *userdata)
{
    ((Fixture *)userdata)->n_drained++;
}

static void start(Fixture *fixture, int writer)
{
    int opened = -EBADF;

    assert_int_equal(output_open(writer, &opened), 0);
    (void)fd_close(writer);
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(output_new(fixture->event, opened, &fixture->output), 0);
    output_set_drained_handler(fixture->output, on_drained, fixture);
}

static int setup(void **state)
{
    static Fixture fixture;
    int fds[2];

    (void)signal(SIGPIPE, SIG_IGN); /* as the supervisor has it */
    fixture = (Fixture){ 0 };
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    fixture.reader = fds[0];
    start(&fixture, fds[1]);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    assert_null(output_free(fixture->output));
    assert_null(output_free(NULL));
    sd_event_unref(fixture->event);
    fixture->reader = fd_close(fixture->reader);
    return 0;
}

static void run(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        ;
}

static void write_many(Fixture *fixture, size_t size)
{
    static char bytes[OUTPUT_PENDING_MAX + 2 * PIPE_SIZE];

    assert_true(size <= sizeof(bytes));
    memset(bytes, 'x', sizeof(bytes));
    output_write(fixture->output, bytes, size);
}

static void assert_reads(Fixture *fixture, size_t size)
{
    char bytes[PIPE_SIZE];

    assert_true(size <= sizeof(bytes));
    assert_int_equal(read(fixture->reader, bytes, size), size);
}

static void what_fits_the_pipe_goes_at_once(void **state)
{
    Fixture *fixture = *state;
    char bytes[8];

    output_write(fixture->output, "hello", 5);
    output_write(fixture->output, "", 0);
    assert_false(output_is_behind(fixture->output));
    assert_int_equal(read(fixture->reader, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "hello", 5);
    run(fixture);
    assert_int_equal(fixture->n_drained, 0); /* nothing was kept */
}

static void slow_reader_gets_everything_in_order(void **state)
{
    Fixture *fixture = *state;
    char bytes[PIPE_SIZE];

    write_many(fixture, PIPE_SIZE);
    output_write(fixture->output, "abc", 3);
    output_write(fixture->output, "def", 3);
    assert_true(output_is_behind(fixture->output));
    run(fixture);
    assert_int_equal(fixture->n_drained, 0);

    assert_reads(fixture, PIPE_SIZE);
    run(fixture);
    assert_false(output_is_behind(fixture->output));
    assert_int_equal(fixture->n_drained, 1);
    assert_int_equal(read(fixture->reader, bytes, sizeof(bytes)), 6);
    assert_memory_equal(bytes, "abcdef", 6);
    assert_true(output_get_dropped(fixture->output) == 0);
}

static void what_is_kept_has_a_maximum_and_the_rest_is_counted(void **state)
{
    Fixture *fixture = *state;
    size_t n_read = 0;

    write_many(fixture, PIPE_SIZE + OUTPUT_PENDING_MAX);
    assert_true(output_get_dropped(fixture->output) == 0);
    output_write(fixture->output, "y", 1);
    assert_true(output_get_dropped(fixture->output) == 1);
    write_many(fixture, 1000);
    assert_true(output_get_dropped(fixture->output) == 1001);

    for (; n_read < PIPE_SIZE + OUTPUT_PENDING_MAX; n_read += PIPE_SIZE) {
        assert_reads(fixture, PIPE_SIZE);
        run(fixture);
    }
    assert_int_equal(fixture->n_drained, 1);
    assert_false(output_is_behind(fixture->output));
    output_write(fixture->output, "z", 1);
    assert_true(output_get_dropped(fixture->output) == 1001);
}

static void broken_pipe_drops_everything(void **state)
{
    Fixture *fixture = *state;

    write_many(fixture, PIPE_SIZE + 10);
    assert_true(output_is_behind(fixture->output));
    fixture->reader = fd_close(fixture->reader);
    run(fixture);
    assert_false(output_is_behind(fixture->output));
    assert_int_equal(fixture->n_drained, 1); /* whoever waits for it may go on */
    assert_true(output_get_dropped(fixture->output) == 10);
    output_write(fixture->output, "abc", 3);
    assert_true(output_get_dropped(fixture->output) == 13);
}

static void pipe_that_breaks_while_it_is_written_raises_no_signal(void **state)
{
    Fixture *fixture = *state;

    fixture->reader = fd_close(fixture->reader);
    output_write(fixture->output, "abc", 3);
    assert_true(output_get_dropped(fixture->output) == 3);
    assert_false(output_is_behind(fixture->output));
}

static void clients_own_description_keeps_its_flags(void **state)
{
    (void)state;
    int fds[2], opened = -EBADF;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(output_open(fds[1], &opened), 0);
    assert_true(fcntl(opened, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_get_access_mode(opened), O_WRONLY);
    (void)fd_close(opened);
    fd_close_many(fds, 2);
    assert_int_equal(output_open(-EBADF, &opened), -EBADF);
}

static void regular_file_goes_on_at_its_offset(void **state)
{
    (void)state;
    _cleanup_close_ int file = memfd_create("x", MFD_CLOEXEC);
    Fixture fixture = { .reader = -EBADF };
    char bytes[8];

    assert_int_equal(fd_write_all(file, "abc", 3), 0);
    start(&fixture, fcntl(file, F_DUPFD_CLOEXEC, 0));
    output_write(fixture.output, "def", 3);
    assert_int_equal(pread(file, bytes, sizeof(bytes), 0), 6);
    assert_memory_equal(bytes, "abcdef", 6);
    output_free(fixture.output);
    sd_event_unref(fixture.event);
}

static void socket_is_written_without_changing_it(void **state)
{
    (void)state;
    Fixture fixture = { 0 };
    int pair[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    start(&fixture, fcntl(pair[0], F_DUPFD_CLOEXEC, 0));
    output_write(fixture.output, "x", 1);
    assert_int_equal(read(pair[1], &byte, 1), 1);
    assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
    for (unsigned i = 0; i < 1000 && !output_is_behind(fixture.output); i++)
        write_many(&fixture, PIPE_SIZE);
    assert_true(output_is_behind(fixture.output)); /* and did not block */
    (void)fd_close(pair[1]);
    run(&fixture);
    assert_false(output_is_behind(fixture.output));
    output_free(fixture.output);
    sd_event_unref(fixture.event);
    (void)fd_close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_fits_the_pipe_goes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader_gets_everything_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_kept_has_a_maximum_and_the_rest_is_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(broken_pipe_drops_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(pipe_that_breaks_while_it_is_written_raises_no_signal,
                                        setup, teardown),
        cmocka_unit_test(clients_own_description_keeps_its_flags),
        cmocka_unit_test(regular_file_goes_on_at_its_offset),
        cmocka_unit_test(socket_is_written_without_changing_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
