/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/ready-socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/payload-library/vm_payload.h"
#include "tests/helpers/test.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static void line_is_found_among_others(void **state)
{
    (void)state;
    assert_true(ready_message_is_ready(TEXT("READY=1")));
    assert_true(ready_message_is_ready(TEXT("READY=1\n")));
    assert_true(ready_message_is_ready(TEXT("STATUS=up\nREADY=1\nX=y")));
}

static void other_lines_do_not_count(void **state)
{
    (void)state;
    assert_false(ready_message_is_ready(TEXT("")));
    assert_false(ready_message_is_ready(TEXT("READY=0\n")));
    assert_false(ready_message_is_ready(TEXT("READY=10")));
    assert_false(ready_message_is_ready(TEXT("NOTREADY=1")));
    assert_false(ready_message_is_ready(TEXT("READY=1\0")));
}

static void only_the_payloads_user_is_heard(void **state)
{
    char directory[] = "/tmp/test-ready-socket-XXXXXX", path[64];
    _cleanup_close_ int fd = -EBADF;

    (void)state;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/ready", directory);
    assert_int_equal(ready_socket_open(path, getuid(), &fd), 0);
    assert_int_equal(ready_socket_receive(fd, getuid()), 0);

    assert_int_equal(setenv("VIRTUALIZATIOND_READY_SOCKET", path, 1), 0);
    AVmPayload_notifyPayloadReady();
    assert_int_equal(ready_socket_receive(fd, getuid() + 1), 0);
    AVmPayload_notifyPayloadReady();
    AVmPayload_notifyPayloadReady();
    assert_int_equal(ready_socket_receive(fd, getuid()), 1);
    assert_int_equal(ready_socket_receive(fd, getuid()), 0);

    (void)unlink(path);
    (void)rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_found_among_others),
        cmocka_unit_test(other_lines_do_not_count),
        cmocka_unit_test(only_the_payloads_user_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
