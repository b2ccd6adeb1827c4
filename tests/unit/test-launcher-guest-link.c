/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/guest-link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define PIPE_SIZE 4096

typedef struct Fixture {
    sd_event *event;
    GuestLink *link;
    Output *output; /* of the stream "out" */
    int reader;
    GuestCall call;
    unsigned n_reports;
    bool refuses;
    NotifyMessage notified;
    unsigned n_notified;
} Fixture;

static int on_report(void *userdata, const GuestCall *call, Error *error)
{
    Fixture *fixture = userdata;

    fixture->n_reports++;
    fixture->call = *call;
    return fixture->refuses ? error_set(error, ERROR_INVALID_STATE, "not now") : 0;
}

static int on_find_stream(void *userdata, const char *name, Output **ret_output)
{
    Fixture *fixture = userdata;

    if (strcmp(name, "null") == 0) {
        *ret_output = NULL;
        return 0;
    }
    if (strcmp(name, "out") != 0)
        return -ENOENT;
    *ret_output = fixture->output;
    return 0;
}

static void on_notify(void *userdata, const NotifyMessage *message)
{
    Fixture *fixture = userdata;

    fixture->n_notified++;
    fixture->notified = *message;
}

static const GuestLinkHandlers handlers = { on_report, on_find_stream, on_notify };

static int setup(void **state)
{
    static Fixture fixture;
    int fds[2], opened;

    fixture = (Fixture){ 0 };
    assert_true(sd_event_new(&fixture.event) >= 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    assert_int_equal(output_open(fds[1], &opened), 0);
    (void)fd_close(fds[1]);
    assert_int_equal(output_new(fixture.event, opened, &fixture.output), 0);
    fixture.reader = fds[0];
    assert_int_equal(guest_link_new(fixture.event, &handlers, &fixture, &fixture.link), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    assert_null(guest_link_free(fixture->link));
    assert_null(guest_link_free(NULL));
    output_free(fixture->output);
    sd_event_unref(fixture->event);
    fixture->reader = fd_close(fixture->reader);
    return 0;
}

static void run(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        ;
}

/* The guest's end of a new connection. */
static int dial_for(Fixture *fixture, void (*take)(GuestLink *link, int fd))
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    take(fixture->link, pair[0]);
    run(fixture);
    return pair[1];
}

static int dial(Fixture *fixture)
{
    return dial_for(fixture, guest_link_accept);
}

static void say_bytes(Fixture *fixture, int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT), size);
    run(fixture);
}

static void say(Fixture *fixture, int fd, const GuestCall *call)
{
    char frame[GUEST_FRAME_SIZE_MAX + 1];
    int size = guest_call_encode(call, frame, sizeof(frame));

    assert_true(size > 0);
    say_bytes(fixture, fd, frame, (size_t)size);
}

static void hear(int fd, GuestReply *reply)
{
    char frame[1024];
    ssize_t size = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);

    assert_true(size > 0);
    assert_int_equal(frame[size - 1], '\0');
    assert_int_equal(guest_reply_decode(frame, (size_t)size - 1, reply, NULL), 0);
}

static void assert_error(int fd, const char *name)
{
    char expected[128];
    GuestReply reply;

    hear(fd, &reply);
    (void)snprintf(expected, sizeof(expected), GUEST_LINK_INTERFACE ".%s", name);
    assert_string_equal(reply.error_name, expected);
}

static bool is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void message_of_systemd_is_what_comes_until_the_end(void **state)
{
    Fixture *fixture = *state;
    int fd = dial_for(fixture, guest_link_accept_notifier);

    say_bytes(fixture, fd, "READY=1\nSTA", 11);
    say_bytes(fixture, fd, "TUS=up\n", 7);
    assert_int_equal(fixture->n_notified, 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    run(fixture);
    assert_int_equal(fixture->n_notified, 1);
    assert_true(fixture->notified.is_ready);
    assert_string_equal(fixture->notified.status, "up");
    assert_true(is_closed(fd));
    (void)close(fd);
}

static void what_is_no_message_of_systemd_s_disturbs_nothing(void **state)
{
    Fixture *fixture = *state;
    char bytes[NOTIFY_MESSAGE_MAX + 1];
    int silent = dial_for(fixture, guest_link_accept_notifier);
    int large = dial_for(fixture, guest_link_accept_notifier);
    int other = dial_for(fixture, guest_link_accept_notifier);

    (void)close(silent);
    memset(bytes, 'x', sizeof(bytes));
    say_bytes(fixture, large, bytes, sizeof(bytes));
    assert_true(is_closed(large));
    say_bytes(fixture, other, "READY", 5);
    assert_int_equal(shutdown(other, SHUT_WR), 0);
    run(fixture);
    assert_true(is_closed(other));
    assert_int_equal(fixture->n_notified, 0);
    assert_int_equal(fixture->n_reports, 0);
    (void)close(large);
    (void)close(other);
}

static void report_is_answered_and_the_connection_closed(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);
    GuestReply reply;

    say(fixture, fd, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_FINISHED, .exit_code = 3 });
    assert_int_equal(fixture->n_reports, 1);
    assert_int_equal(fixture->call.type, GUEST_CALL_PAYLOAD_FINISHED);
    assert_int_equal(fixture->call.exit_code, 3);
    hear(fd, &reply);
    assert_string_equal(reply.error_name, "");
    assert_true(is_closed(fd));
}

static void report_that_the_state_forbids_is_refused(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);

    fixture->refuses = true;
    say(fixture, fd, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY });
    assert_error(fd, "InvalidState");
    assert_true(is_closed(fd));
}

static void call_in_pieces_is_put_together(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);
    char frame[256];
    const GuestCall call = { .type = GUEST_CALL_PAYLOAD_STARTED };
    int size = guest_call_encode(&call, frame, sizeof(frame));

    for (int i = 0; i < size; i++) {
        assert_int_equal(fixture->n_reports, 0);
        say_bytes(fixture, fd, frame + i, 1);
    }
    assert_int_equal(fixture->n_reports, 1);
}

static void bad_call_is_refused_and_others_go_on(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int bad = dial(fixture), behind = dial(fixture), good = dial(fixture);
    static const char two[] = "{\"method\":\"" GUEST_LINK_INTERFACE ".PayloadReady\"}\0{";

    say_bytes(fixture, bad, "{}", 3);
    assert_error(bad, "InvalidCall");
    assert_true(is_closed(bad));
    say_bytes(fixture, behind, two, sizeof(two) - 1);
    assert_error(behind, "InvalidCall");
    assert_true(is_closed(behind));
    assert_int_equal(fixture->n_reports, 0);
    say(fixture, good, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY });
    assert_int_equal(fixture->n_reports, 1);
}

static void frame_is_taken_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int most = dial(fixture), more = dial(fixture), endless = dial(fixture);
    static char frame[GUEST_FRAME_SIZE_MAX + 2];

    memset(frame, ' ', GUEST_FRAME_SIZE_MAX);
    (void)guest_call_encode(&(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY }, frame, sizeof(frame));
    frame[strlen(frame)] = ' ';
    say_bytes(fixture, most, frame, GUEST_FRAME_SIZE_MAX); /* all but its end */
    assert_int_equal(fixture->n_reports, 0);
    assert_false(is_closed(most));
    say_bytes(fixture, most, "", 1);
    assert_int_equal(fixture->n_reports, 1);

    frame[GUEST_FRAME_SIZE_MAX] = ' ';
    say_bytes(fixture, more, frame, sizeof(frame));
    assert_error(more, "FrameTooLarge");
    say_bytes(fixture, endless, frame, GUEST_FRAME_SIZE_MAX + 1);
    assert_error(endless, "FrameTooLarge");
    assert_int_equal(fixture->n_reports, 1);
}

static void connections_are_taken_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;
    int fds[GUEST_LINK_CONNECTIONS_MAX];

    for (size_t i = 0; i < ELEMENTS_OF(fds); i++) {
        fds[i] = dial(fixture);
        assert_false(is_closed(fds[i]));
    }
    int more = dial(fixture);
    assert_error(more, "TooManyConnections");
    assert_true(is_closed(more));
    (void)fd_close(more);

    fds[3] = fd_close(fds[3]);
    run(fixture);
    fds[3] = dial(fixture); /* its place is free again */
    assert_false(is_closed(fds[3]));
    fd_close_many(fds, ELEMENTS_OF(fds));
}

static void subscribers_get_the_commands(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int first = dial(fixture), second = dial(fixture), idle = dial(fixture);
    GuestReply reply;

    assert_int_equal(guest_link_send_command(fixture->link, GUEST_COMMAND_STOP), 0);
    say(fixture, first, &(GuestCall){ .type = GUEST_CALL_SUBSCRIBE });
    say(fixture, second, &(GuestCall){ .type = GUEST_CALL_SUBSCRIBE });
    assert_int_equal(guest_link_send_command(fixture->link, GUEST_COMMAND_MEMORY_TRIM), 2);
    hear(first, &reply);
    assert_true(reply.continues);
    assert_int_equal(reply.command, GUEST_COMMAND_MEMORY_TRIM);
    hear(second, &reply);
    assert_int_equal(reply.command, GUEST_COMMAND_MEMORY_TRIM);
    assert_false(is_closed(idle));

    say_bytes(fixture, first, "x", 1); /* it has nothing to say */
    assert_true(is_closed(first));
    second = fd_close(second);
    run(fixture);
    assert_int_equal(guest_link_send_command(fixture->link, GUEST_COMMAND_STOP), 0);
}

static void open_stream(Fixture *fixture, int fd, const char *name)
{
    GuestCall call = { .type = GUEST_CALL_OPEN_STREAM };

    (void)snprintf(call.stream_name, sizeof(call.stream_name), "%s", name);
    say(fixture, fd, &call);
}

static void stream_goes_to_its_output(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture), other = dial(fixture), unknown = dial(fixture);
    GuestReply reply;
    char bytes[8];

    open_stream(fixture, unknown, "in");
    assert_error(unknown, "NoSuchStream");
    assert_false(guest_link_has_streams(fixture->link));

    open_stream(fixture, fd, "out");
    hear(fd, &reply);
    assert_string_equal(reply.error_name, "");
    assert_true(guest_link_has_streams(fixture->link));
    open_stream(fixture, other, "out"); /* one at a time */
    assert_error(other, "StreamBusy");

    say_bytes(fixture, fd, "a\0b", 3);
    assert_int_equal(read(fixture->reader, bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "a\0b", 3);
    fd = fd_close(fd);
    run(fixture);
    assert_false(guest_link_has_streams(fixture->link));
}

static void stream_is_drained_without_the_loop(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);
    static char bytes[2 * PIPE_SIZE];
    GuestReply reply;

    guest_link_drain(fixture->link, fixture->output); /* there is none */
    open_stream(fixture, fd, "out");
    hear(fd, &reply);
    guest_link_drain(fixture->link, fixture->output); /* nor has anything come */
    assert_int_equal(send(fd, bytes, PIPE_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT), PIPE_SIZE);
    guest_link_drain(fixture->link, fixture->output);
    assert_int_equal(read(fixture->reader, bytes, sizeof(bytes)), PIPE_SIZE);
    assert_true(guest_link_has_streams(fixture->link));
    assert_int_equal(send(fd, bytes, 3, MSG_NOSIGNAL | MSG_DONTWAIT), 3);
    fd = fd_close(fd);
    guest_link_drain(fixture->link, fixture->output);
    assert_int_equal(read(fixture->reader, bytes, sizeof(bytes)), 3);
    assert_false(guest_link_has_streams(fixture->link)); /* its end was among what had come */
}

static void stream_to_nowhere_is_read_all_the_same(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int first = dial(fixture), second = dial(fixture);
    static const char bytes[32768];
    GuestReply reply;

    open_stream(fixture, first, "null");
    open_stream(fixture, second, "null");
    hear(first, &reply);
    hear(second, &reply);
    for (unsigned i = 0; i < 100; i++)
        say_bytes(fixture, first, bytes, sizeof(bytes));
}

static void stream_of_a_slow_reader_is_held_back_and_goes_on(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);
    static char bytes[2 * PIPE_SIZE];
    GuestReply reply;
    size_t n_read = 0;

    open_stream(fixture, fd, "out");
    hear(fd, &reply);
    say_bytes(fixture, fd, bytes, sizeof(bytes));
    assert_true(output_is_behind(fixture->output));
    /* Now it is not read: far more than what an output keeps fills the socket. */
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(bytes))
        run(fixture);
    assert_int_equal(errno, EAGAIN);
    assert_true(output_get_dropped(fixture->output) == 0);

    while (n_read < 2 * sizeof(bytes)) {
        ssize_t n = read(fixture->reader, bytes, sizeof(bytes));
        assert_true(n > 0);
        n_read += (size_t)n;
        run(fixture);
    }
    assert_true(output_get_dropped(fixture->output) == 0);
    assert_true(send(fd, bytes, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1); /* there is room again */
}

static void stream_that_ends_while_held_back_leaves_no_trace(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int fd = dial(fixture);
    static char bytes[2 * PIPE_SIZE];

    open_stream(fixture, fd, "out");
    say_bytes(fixture, fd, bytes, sizeof(bytes));
    assert_true(output_is_behind(fixture->output));
    fixture->link = guest_link_free(fixture->link);
    /* The output tells nobody any more. */
    assert_int_equal(read(fixture->reader, bytes, PIPE_SIZE), PIPE_SIZE);
    run(fixture);
    assert_false(output_is_behind(fixture->output));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(message_of_systemd_is_what_comes_until_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_message_of_systemd_s_disturbs_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(report_is_answered_and_the_connection_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(report_that_the_state_forbids_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(call_in_pieces_is_put_together, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_call_is_refused_and_others_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(frame_is_taken_up_to_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_are_taken_up_to_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(subscribers_get_the_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_goes_to_its_output, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_is_drained_without_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_to_nowhere_is_read_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_of_a_slow_reader_is_held_back_and_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stream_that_ends_while_held_back_leaves_no_trace, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
