/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/vhost-user-socket.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/fd-message.h"
#include "common/fd.h"

typedef struct Fixture {
    VhostUserSocket socket;
    int peer;
} Fixture;

static void init(Fixture *fixture)
{
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    vhost_user_socket_init(&fixture->socket, sockets[0]);
    fixture->peer = sockets[1];
}

static void deinit(Fixture *fixture)
{
    vhost_user_socket_deinit(&fixture->socket);
    fixture->peer = fd_close(fixture->peer);
}

static const uint8_t set_call[20] = { VHOST_USER_SET_VRING_CALL, 0, 0, 0, 1, 0, 0, 0, 8 };

static void message_is_put_together_byte_by_byte(void **state)
{
    (void)state;
    Fixture fixture;
    VhostUserRequest request;
    _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

    init(&fixture);
    assert_int_equal(vhost_user_socket_receive(&fixture.socket, &request, NULL), 0);
    for (size_t i = 0; i < sizeof(set_call); i++) {
        assert_int_equal(fd_message_send(fixture.peer, set_call + i, 1, &fd, i == 0 ? 1 : 0), 0);
        assert_int_equal(vhost_user_socket_receive(&fixture.socket, &request, NULL),
                         i + 1 == sizeof(set_call) ? 1 : 0);
    }
    assert_int_equal(request.type, VHOST_USER_SET_VRING_CALL);
    assert_int_equal(request.n_fds, 1);
    vhost_user_request_deinit(&request);
    deinit(&fixture);
}

static void two_messages_at_once_are_told_apart(void **state)
{
    (void)state;
    Fixture fixture;
    VhostUserRequest request;
    static const uint8_t both[24] = { VHOST_USER_GET_FEATURES, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                      VHOST_USER_SET_OWNER,    0, 0, 0, 1 };

    init(&fixture);
    assert_int_equal(write(fixture.peer, both, sizeof(both)), sizeof(both));
    assert_int_equal(vhost_user_socket_receive(&fixture.socket, &request, NULL), 1);
    assert_int_equal(request.type, VHOST_USER_GET_FEATURES);
    assert_int_equal(vhost_user_socket_receive(&fixture.socket, &request, NULL), 1);
    assert_int_equal(request.type, VHOST_USER_SET_OWNER);
    deinit(&fixture);
}

static void descriptors_in_the_middle_of_a_message_are_refused(void **state)
{
    (void)state;
    Fixture fixture;
    VhostUserRequest request;
    _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

    init(&fixture);
    assert_int_equal(write(fixture.peer, set_call, 12), 12);
    assert_int_equal(fd_message_send(fixture.peer, set_call + 12, 8, &fd, 1), 0);
    int r = vhost_user_socket_receive(&fixture.socket, &request, NULL);
    assert_true(r < 0 && r != -ECONNRESET);
    deinit(&fixture);
}

static void too_many_descriptors_are_refused(void **state)
{
    (void)state;
    Fixture fixture;
    VhostUserRequest request;
    int fds[VHOST_USER_FDS_MAX + 1];

    init(&fixture);
    for (size_t i = 0; i < VHOST_USER_FDS_MAX + 1; i++)
        fds[i] = fixture.peer;
    assert_int_equal(
        fd_message_send(fixture.peer, set_call, sizeof(set_call), fds, VHOST_USER_FDS_MAX + 1), 0);
    int r = vhost_user_socket_receive(&fixture.socket, &request, NULL);
    assert_true(r < 0 && r != -ECONNRESET);
    deinit(&fixture);
}

static void closed_peer_is_a_reset_connection(void **state)
{
    (void)state;
    Fixture fixture;
    VhostUserRequest request;
    VhostUserReply reply = { .size = 12 };

    init(&fixture);
    fixture.peer = fd_close(fixture.peer);
    assert_int_equal(vhost_user_socket_receive(&fixture.socket, &request, NULL), -ECONNRESET);
    assert_int_equal(vhost_user_socket_send(&fixture.socket, &reply, NULL), -ECONNRESET);
    deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_put_together_byte_by_byte),
        cmocka_unit_test(two_messages_at_once_are_told_apart),
        cmocka_unit_test(descriptors_in_the_middle_of_a_message_are_refused),
        cmocka_unit_test(too_many_descriptors_are_refused),
        cmocka_unit_test(closed_peer_is_a_reset_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
