/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd-message.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

typedef struct Fixture {
    int sender, receiver;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    fixture = (Fixture){ .sender = pair[0], .receiver = pair[1] };
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    fixture->sender = fd_close(fixture->sender);
    fixture->receiver = fd_close(fixture->receiver);
    return 0;
}

/* The number that the next descriptor gets: as before when nothing was kept. */
static int next_number(void)
{
    int fd = memfd_create("x", MFD_CLOEXEC);

    assert_true(fd >= 0);
    (void)fd_close(fd);
    return fd;
}

static void message_arrives_with_its_descriptors(void **state)
{
    const Fixture *fixture = *state;
    int pipe_fds[2], fds[2] = { -EBADF, -EBADF };
    char bytes[8];
    size_t size = 0, n_fds = 0;

    assert_int_equal(pipe2(pipe_fds, 0), 0);
    assert_int_equal(fd_message_send(fixture->sender, "hello", 5, pipe_fds, 2), 0);
    assert_int_equal(
        fd_message_receive(fixture->receiver, bytes, sizeof(bytes), &size, fds, 2, &n_fds), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(n_fds, 2);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(fd_write_all(fds[1], "x", 1), 0);
    assert_int_equal(read(pipe_fds[0], bytes, 1), 1); /* the same pipe, which stayed ours */
    fd_close_many(fds, 2);
    fd_close_many(pipe_fds, 2);
}

static void message_one_byte_too_long_is_refused_and_gone(void **state)
{
    const Fixture *fixture = *state;
    int free_number = next_number(), fds[1];
    char bytes[4];
    size_t size = 42, n_fds = 42;

    assert_int_equal(fd_message_send(fixture->sender, "fits", 4, NULL, 0), 0);
    assert_int_equal(fd_message_send(fixture->sender, "large", 5, &fixture->sender, 1), 0);
    assert_int_equal(fd_message_receive(fixture->receiver, bytes, 4, &size, fds, 1, &n_fds), 0);
    assert_int_equal(size, 4);
    assert_int_equal(n_fds, 0);
    assert_int_equal(fd_message_receive(fixture->receiver, bytes, 4, &size, fds, 1, &n_fds),
                     -EBADMSG);
    assert_int_equal(size, 4);
    assert_int_equal(next_number(), free_number);
    assert_int_equal(fd_message_receive(fixture->receiver, bytes, 4, &size, fds, 1, &n_fds),
                     -EAGAIN);
}

static void descriptor_too_many_is_refused_and_closed(void **state)
{
    const Fixture *fixture = *state;
    const int three[] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
    int free_number = next_number(), fds[3];
    size_t size, n_fds;
    char byte;

    for (size_t capacity = 0; capacity < 3; capacity++) {
        assert_int_equal(fd_message_send(fixture->sender, "x", 1, three, 3), 0);
        assert_int_equal(
            fd_message_receive(fixture->receiver, &byte, 1, &size, fds, capacity, &n_fds),
            -EBADMSG);
        assert_int_equal(next_number(), free_number);
    }
    assert_int_equal(fd_message_send(fixture->sender, "x", 1, three, 3), 0);
    assert_int_equal(fd_message_receive(fixture->receiver, &byte, 1, &size, fds, 3, &n_fds), 0);
    assert_int_equal(n_fds, 3);
    fd_close_many(fds, n_fds);
}

static void largest_list_passes_and_a_longer_one_does_not(void **state)
{
    const Fixture *fixture = *state;
    int many[FD_MESSAGE_FDS_MAX + 1], fds[FD_MESSAGE_FDS_MAX + 1];
    int free_number = next_number();
    size_t size, n_fds = 0;
    char byte;

    for (size_t i = 0; i < ELEMENTS_OF(many); i++)
        many[i] = STDERR_FILENO;
    assert_int_equal(fd_message_send(fixture->sender, "x", 1, many, FD_MESSAGE_FDS_MAX), 0);
    assert_int_equal(
        fd_message_receive(fixture->receiver, &byte, 1, &size, fds, ELEMENTS_OF(fds), &n_fds), 0);
    assert_int_equal(n_fds, FD_MESSAGE_FDS_MAX);
    fd_close_many(fds, n_fds);

    /* One more than fd_message_send() takes, as a peer of another make may send it. */
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(many))] = { 0 };
    struct iovec part = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(many));
    memcpy(CMSG_DATA(header), many, sizeof(many));
    assert_int_equal(sendmsg(fixture->sender, &message, 0), 1);
    assert_int_equal(
        fd_message_receive(fixture->receiver, &byte, 1, &size, fds, ELEMENTS_OF(fds), &n_fds),
        -EBADMSG);
    assert_int_equal(next_number(), free_number);
}

static void peer_that_is_gone_is_told(void **state)
{
    Fixture *fixture = *state;
    size_t size = 42, n_fds = 42;
    char byte;

    fixture->sender = fd_close(fixture->sender);
    assert_int_equal(fd_message_receive(fixture->receiver, &byte, 1, &size, NULL, 0, &n_fds), 0);
    assert_int_equal(size, 0);
    assert_int_equal(n_fds, 0);
    /* No SIGPIPE. */
    assert_int_equal(fd_message_send(fixture->receiver, "x", 1, NULL, 0), -EPIPE);
}

static void full_socket_is_told_and_does_not_block(void **state)
{
    const Fixture *fixture = *state;
    char bytes[1024] = { 0 };
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < 100000; i++)
        r = fd_message_send(fixture->sender, bytes, sizeof(bytes), NULL, 0);
    assert_int_equal(r, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(message_arrives_with_its_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(message_one_byte_too_long_is_refused_and_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(descriptor_too_many_is_refused_and_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(largest_list_passes_and_a_longer_one_does_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(peer_that_is_gone_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(full_socket_is_told_and_does_not_block, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
