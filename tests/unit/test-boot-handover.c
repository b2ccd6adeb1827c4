/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor has a fixed number, which the test's own process may use for something else: each
 * case runs in a child, which exits with 0 or the line of what does not hold. */
#include "guest/boot-handover.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define HOLDS(condition)            \
    do {                            \
        if (!(condition))           \
            return __LINE__ & 0xff; \
    } while (false)

static void run(int (*in_child)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(in_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static BootHandover make_handover(void)
{
    BootHandover handover;

    memset(&handover, 0, sizeof(handover));
    memset(handover.secrets.attest, 'a', sizeof(handover.secrets.attest));
    memset(handover.secrets.seal, 's', sizeof(handover.secrets.seal));
    handover.mode = DICE_MODE_DEBUG;
    handover.is_new_instance = true;
    return handover;
}

/* Sends with the first @n_used descriptors in use and no other, and receives: nothing stays open
 * but those. */
static int hand_over(int n_used)
{
    const BootHandover sent = make_handover();
    BootHandover received;

    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    HOLDS(null_fd >= 0);
    for (int fd = 0; fd < 10; fd++) {
        if (fd < n_used)
            HOLDS(dup2(null_fd, fd) == fd);
        else if (fd != null_fd)
            (void)close(fd);
    }
    if (null_fd >= n_used)
        (void)close(null_fd);
    HOLDS(boot_handover_send(&sent, NULL) == 0);
    HOLDS(fcntl(BOOT_HANDOVER_FD, F_GETFD) == 0); /* stays open over exec */
    for (int fd = n_used; fd < 10; fd++)
        HOLDS((fcntl(fd, F_GETFD) >= 0) == (fd == BOOT_HANDOVER_FD));
    HOLDS(boot_handover_receive(&received, NULL) == 0);
    HOLDS(memcmp(received.secrets.attest, sent.secrets.attest, DICE_CDI_SIZE) == 0);
    HOLDS(memcmp(received.secrets.seal, sent.secrets.seal, DICE_CDI_SIZE) == 0);
    HOLDS(received.mode == DICE_MODE_DEBUG && received.is_new_instance);
    HOLDS(fcntl(BOOT_HANDOVER_FD, F_GETFD) < 0);
    return 0;
}

static int the_pipe_has_other_numbers(void)
{
    return hand_over(BOOT_HANDOVER_FD + 2);
}

static int the_reader_has_the_number(void)
{
    return hand_over(BOOT_HANDOVER_FD);
}

static int the_writer_has_the_number(void)
{
    return hand_over(BOOT_HANDOVER_FD - 1);
}

static int the_number_is_free_above_the_pipe(void)
{
    return hand_over(0);
}

static void what_is_sent_is_received_whatever_is_open(void **state)
{
    (void)state;
    run(the_pipe_has_other_numbers);
    run(the_reader_has_the_number);
    run(the_writer_has_the_number);
    run(the_number_is_free_above_the_pipe);
}

/* Receives so many bytes. */
static int receive_bytes(size_t size, const char *words)
{
    static const uint8_t bytes[2 * sizeof(BootHandover)];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BootHandover received = make_handover();
    const BootHandover before = received;
    int pipe_fds[2];

    HOLDS(pipe2(pipe_fds, O_CLOEXEC) == 0);
    HOLDS(fd_write_all(pipe_fds[1], bytes, size) == 0);
    HOLDS(pipe_fds[0] == BOOT_HANDOVER_FD || dup2(pipe_fds[0], BOOT_HANDOVER_FD) >= 0);
    if (pipe_fds[1] != BOOT_HANDOVER_FD)
        (void)close(pipe_fds[1]);
    int r = boot_handover_receive(&received, &error);
    HOLDS(fcntl(BOOT_HANDOVER_FD, F_GETFD) < 0);
    if (!words) {
        HOLDS(r == 0);
        return 0;
    }
    HOLDS(r < 0 && error.kind == ERROR_FAILED);
    HOLDS(strstr(error_get_message(&error), words));
    HOLDS(memcmp(&received, &before, sizeof(before)) == 0);
    return 0;
}

static int all_bytes(void)
{
    return receive_bytes(sizeof(BootHandover), NULL);
}

static int no_byte(void)
{
    return receive_bytes(0, "has handed over 0 bytes");
}

static int a_byte_too_few(void)
{
    return receive_bytes(sizeof(BootHandover) - 1, "has handed over");
}

static int a_byte_too_many(void)
{
    return receive_bytes(sizeof(BootHandover) + 1, "has handed over");
}

static int much_too_many(void)
{
    return receive_bytes(2 * sizeof(BootHandover), "has handed over");
}

static int no_pipe(void)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BootHandover received;

    (void)close(BOOT_HANDOVER_FD);
    HOLDS(boot_handover_receive(&received, &error) < 0);
    HOLDS(strstr(error_get_message(&error), "has handed nothing over"));
    return 0;
}

static void anything_but_one_handover_is_refused(void **state)
{
    (void)state;
    run(all_bytes);
    run(no_byte);
    run(a_byte_too_few);
    run(a_byte_too_many);
    run(much_too_many);
    run(no_pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_is_received_whatever_is_open),
        cmocka_unit_test(anything_but_one_handover_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
