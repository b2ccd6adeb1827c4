/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest-link.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/deadline.h"
#include "tests/helpers/test.h"

#define TIMEOUT_MSEC 10000

/* Stands for a host: a listening socket in the abstract namespace, named by the kernel. */
static int listen_as_host(GuestLink *ret_link)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = offsetof(struct sockaddr_un, sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    ret_link->address_size = sizeof(ret_link->address);
    assert_int_equal(
        getsockname(fd, (struct sockaddr *)&ret_link->address, &ret_link->address_size), 0);
    return fd;
}

/* A process that takes one connection, reads the call and answers with @reply, in two pieces. */
static pid_t answer_once(int listening_fd, const char *reply, size_t size)
{
    char byte;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;

    _cleanup_close_ int fd = accept(listening_fd, NULL, NULL);
    while (read(fd, &byte, 1) == 1 && byte != '\0')
        continue;
    _exit(fd_write_all(fd, reply, size / 2) < 0 ||
          fd_write_all(fd, reply + size / 2, size - size / 2) < 0);
}

static int call_answered_with(const char *reply, size_t size, Error *error)
{
    GuestLink link = { 0 };
    _cleanup_close_ int listening_fd = listen_as_host(&link);
    pid_t pid = answer_once(listening_fd, reply, size);
    int status;

    int r = guest_link_call(&link, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY }, error);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return r;
}

#define REPLY(literal) literal, sizeof(literal)

static void call_succeeds_when_it_is_answered(void **state)
{
    (void)state;
    assert_int_equal(call_answered_with(REPLY("{\"parameters\":{}}"), NULL), 0);
}

static void error_reply_fails_the_call_with_its_text(void **state)
{
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(call_answered_with(REPLY("{\"error\":\"a.b.Denied\","
                                              "\"parameters\":{\"message\":\"not now\"}}"),
                                        &error),
                     -EREMOTEIO);
    assert_string_equal(error_get_message(&error),
                        "the host answers a.b.Denied (not now): Remote I/O error");
    error_clear(&error);
}

static void malformed_or_missing_reply_fails_the_call(void **state)
{
    (void)state;
    assert_int_equal(call_answered_with(REPLY("{\"parameters\":"), NULL), -EBADMSG);
    assert_int_equal(call_answered_with("", 0, NULL), -ECONNRESET);
}

static void host_that_does_not_listen_refuses(void **state)
{
    GuestLink link = { 0 };

    (void)state;
    (void)fd_close(listen_as_host(&link));
    assert_int_equal(guest_link_call(&link, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY }, NULL),
                     -ECONNREFUSED);
}

static void opened_stream_takes_bytes(void **state)
{
    GuestLink link = { 0 };
    _cleanup_close_ int listening_fd = listen_as_host(&link), fd = -EBADF;
    pid_t pid = answer_once(listening_fd, REPLY("{}"));
    int status;

    (void)state;
    assert_int_equal(guest_link_open_stream(&link, "log", &fd, NULL), 0);
    assert_true(fd >= 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int read_command(GuestSubscription *subscription, GuestCommand *ret_command)
{
    Deadline deadline = deadline_in_msec(TIMEOUT_MSEC);
    int r;

    while ((r = guest_subscription_read(subscription, ret_command, NULL)) == 0)
        assert_int_equal(deadline_wait_for_fd(deadline, subscription->fd, POLLIN), 0);
    return r;
}

static void commands_come_one_by_one_until_the_host_hangs_up(void **state)
{
    GuestLink link = { 0 };
    static GuestSubscription subscription;
    _cleanup_close_ int listening_fd = listen_as_host(&link);
    pid_t pid = answer_once(listening_fd,
                            REPLY("{\"parameters\":{\"command\":\"memory-trim\"},"
                                  "\"continues\":true}\0"
                                  "{\"parameters\":{\"command\":\"stop\"},\"continues\":true}"));
    GuestCommand command;
    int status;

    (void)state;
    assert_int_equal(guest_subscription_open(&subscription, &link, NULL), 0);
    assert_int_equal(read_command(&subscription, &command), 1);
    assert_int_equal(command, GUEST_COMMAND_MEMORY_TRIM);
    assert_int_equal(read_command(&subscription, &command), 1);
    assert_int_equal(command, GUEST_COMMAND_STOP);
    assert_int_equal(read_command(&subscription, &command), -ECONNRESET);
    guest_subscription_close(&subscription);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void command_without_an_end_is_refused(void **state)
{
    static GuestSubscription subscription;
    static char garbage[GUEST_FRAME_SIZE_MAX + 1];
    GuestLink link = { 0 };
    _cleanup_close_ int listening_fd = listen_as_host(&link);
    GuestCommand command;
    int status;

    (void)state;
    memset(garbage, ' ', sizeof(garbage));
    pid_t pid = answer_once(listening_fd, garbage, sizeof(garbage));
    assert_int_equal(guest_subscription_open(&subscription, &link, NULL), 0);
    assert_int_equal(read_command(&subscription, &command), -EBADMSG);
    guest_subscription_close(&subscription);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_succeeds_when_it_is_answered),
        cmocka_unit_test(error_reply_fails_the_call_with_its_text),
        cmocka_unit_test(malformed_or_missing_reply_fails_the_call),
        cmocka_unit_test(host_that_does_not_listen_refuses),
        cmocka_unit_test(opened_stream_takes_bytes),
        cmocka_unit_test(commands_come_one_by_one_until_the_host_hangs_up),
        cmocka_unit_test(command_without_an_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
