/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/test.h"

static int new_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC);
}

static void close_keeps_errno_and_takes_negatives(void **state)
{
    (void)state;
    int fds[2];

    assert_int_equal(new_pipe(fds), 0);
    int numbers[] = { fds[0], -EBADF, fds[1] };
    errno = EXDEV;
    fd_close_many(numbers, 3);
    assert_int_equal(errno, EXDEV);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(numbers[i], -EBADF);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
    errno = EXDEV;
    assert_int_equal(fd_close(fds[0]), -EBADF); /* closed already */
    assert_int_equal(errno, EXDEV);
}

static void taken_descriptor_leaves_a_hole(void **state)
{
    (void)state;
    int fds[2];

    assert_int_equal(new_pipe(fds), 0);
    _cleanup_close_ int read_end = fds[0];
    _cleanup_close_ int write_end = take_fd(&fds[1]);
    assert_int_equal(fds[1], -EBADF);
    assert_true(write_end >= 0);
    assert_true(fcntl(read_end, F_GETFD) >= 0);
}

/* In a child, whose descriptors are its own. Each failure has its exit status. */
static int keep_some_of_five(void)
{
    int fds[5];

    for (unsigned i = 0; i < 5; i++) {
        fds[i] = memfd_create("x", MFD_CLOEXEC);
        if (fds[i] < 0)
            return 1;
    }
    const int keep[] = { fds[3], -EBADF, fds[1], fds[3] };
    fd_close_all_but(keep, ELEMENTS_OF(keep), fds[4]);
    if (fcntl(fds[0], F_GETFD) >= 0 || fcntl(fds[2], F_GETFD) >= 0)
        return 2;
    if (fcntl(fds[1], F_GETFD) < 0 || fcntl(fds[3], F_GETFD) < 0 || fcntl(fds[4], F_GETFD) < 0)
        return 3;
    if (fcntl(STDERR_FILENO, F_GETFD) < 0)
        return 4;
    fd_close_all_but(NULL, 0, -EBADF);
    for (unsigned i = 0; i < 5; i++) {
        if (fcntl(fds[i], F_GETFD) >= 0)
            return 5;
    }
    return fcntl(STDIN_FILENO, F_GETFD) < 0 ? 6 : 0;
}

static void all_descriptors_but_the_named_are_closed(void **state)
{
    (void)state;
    int status = -1;

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(keep_some_of_five());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void access_mode_is_told(void **state)
{
    (void)state;
    int fds[2];

    assert_int_equal(new_pipe(fds), 0);
    _cleanup_close_ int read_end = fds[0], write_end = fds[1];
    _cleanup_close_ int memory = memfd_create("x", MFD_CLOEXEC);
    _cleanup_close_ int path = open("/", O_PATH | O_CLOEXEC);
    assert_int_equal(fd_get_access_mode(read_end), O_RDONLY);
    assert_int_equal(fd_get_access_mode(write_end), O_WRONLY);
    assert_int_equal(fd_get_access_mode(memory), O_RDWR);
    assert_int_equal(fd_get_access_mode(path), O_PATH);
    assert_int_equal(fd_get_access_mode(-EBADF), -EBADF);
}

static void reopened_file_has_a_description_of_its_own(void **state)
{
    (void)state;
    int pair[2];
    _cleanup_close_ int memory = memfd_create("x", MFD_CLOEXEC);
    _cleanup_close_ int reopened = -EBADF;
    char bytes[4];

    assert_int_equal(fd_write_all(memory, "text", 4), 0);
    assert_int_equal(fd_reopen(memory, O_RDONLY, &reopened), 0);
    assert_int_equal(fd_get_access_mode(reopened), O_RDONLY);
    assert_int_equal(fcntl(reopened, F_GETFD), FD_CLOEXEC);
    assert_int_equal(read(reopened, bytes, 4), 4); /* from its beginning */

    int untouched = 42;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fd_reopen(pair[0], O_RDWR, &untouched), -ENXIO);
    assert_int_equal(fd_reopen(-EBADF, O_RDWR, &untouched), -ENOENT);
    assert_int_equal(untouched, 42);
    fd_close_many(pair, 2);
}

static void flags_are_set_and_cleared(void **state)
{
    (void)state;
    int fds[2];

    assert_int_equal(new_pipe(fds), 0);
    _cleanup_close_ int read_end = fds[0], write_end = fds[1];
    assert_int_equal(fd_set_nonblocking(read_end, true), 0);
    assert_true(fcntl(read_end, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(write_end, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_nonblocking(read_end, false), 0);
    assert_false(fcntl(read_end, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_cloexec(read_end, false), 0);
    assert_int_equal(fcntl(read_end, F_GETFD), 0);
    assert_int_equal(fd_set_cloexec(read_end, true), 0);
    assert_int_equal(fcntl(read_end, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fd_set_nonblocking(-EBADF, true), -EBADF);
    assert_int_equal(fd_set_cloexec(-EBADF, true), -EBADF);
    assert_int_equal(fd_write_all(read_end, "x", 1), -EBADF);
    assert_int_equal(fd_write_all(read_end, NULL, 0), 0);
}

static void sealed_memory_cannot_be_changed(void **state)
{
    (void)state;
    _cleanup_close_ int fd = -EBADF, writable = -EBADF;
    char bytes[8];

    assert_int_equal(memfd_new_sealed("x", "sealed", 6, &fd), 0);
    assert_true(memfd_is_sealed(fd));
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 6);
    assert_memory_equal(bytes, "sealed", 6);
    assert_int_equal(pwrite(fd, "X", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 3), -1);
    assert_int_equal(ftruncate(fd, 9), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    /* Anew for writing it opens, but does not take a byte. */
    if (fd_reopen(fd, O_RDWR, &writable) >= 0)
        assert_int_equal(pwrite(writable, "X", 1, 0), -1);
}

static void memory_that_lacks_a_seal_is_not_sealed(void **state)
{
    (void)state;
    static const int partial[] = { F_SEAL_WRITE | F_SEAL_SHRINK, F_SEAL_WRITE | F_SEAL_GROW,
                                   F_SEAL_SHRINK | F_SEAL_GROW };
    int fds[2];

    for (size_t i = 0; i < ELEMENTS_OF(partial); i++) {
        _cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(fcntl(fd, F_ADD_SEALS, partial[i]), 0);
        assert_false(memfd_is_sealed(fd));
    }
    assert_int_equal(new_pipe(fds), 0);
    assert_false(memfd_is_sealed(fds[0]));
    assert_false(memfd_is_sealed(-EBADF));
    fd_close_many(fds, 2);
}

static void copy_takes_the_maximum_and_no_byte_more(void **state)
{
    (void)state;
    _cleanup_close_ int source = memfd_create("x", MFD_CLOEXEC);
    _cleanup_close_ int copy = memfd_create("y", MFD_CLOEXEC);
    char bytes[8];

    assert_int_equal(fd_copy_all(source, 0, copy), 0); /* an empty file */
    assert_int_equal(fd_write_all(source, "12345", 5), 0);
    assert_int_equal(fd_copy_all(source, 5, copy), 0);
    assert_int_equal(pread(copy, bytes, sizeof(bytes), 0), 5);
    assert_memory_equal(bytes, "12345", 5);
    assert_int_equal(lseek(source, 0, SEEK_CUR), 5); /* its offset is as it was */
    assert_int_equal(fd_copy_all(source, 4, copy), -EFBIG);
    assert_int_equal(fd_copy_all(-EBADF, 4, copy), -EBADF);
}

static void whole_writes_go_to_their_place(void **state)
{
    _cleanup_close_ int memory = memfd_create("x", MFD_CLOEXEC);
    char bytes[8];

    (void)state;
    assert_int_equal(fd_pwrite_all(memory, "text", 4, 3), 0);
    assert_int_equal(pread(memory, bytes, sizeof(bytes), 0), 7);
    assert_memory_equal(bytes, "\0\0\0text", 7);
    assert_int_equal(lseek(memory, 0, SEEK_CUR), 0);
    assert_int_equal(fd_pwrite_all(memory, "text", 4, INT64_MAX - 3), -EFBIG);
    assert_int_equal(fd_pwrite_all(memory, "text", 4, UINT64_MAX - 3), -EFBIG);
    assert_int_equal(fd_pwrite_all(-EBADF, "text", 4, 0), -EBADF);
}

static void stream_socket_of_this_host_is_told_from_others(void **state)
{
    (void)state;
    int fds[2], other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int remote = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(fd_is_unix_stream(fds[0]));
    assert_false(fd_is_unix_stream(other));
    assert_false(fd_is_unix_stream(remote));
    assert_false(fd_is_unix_stream(-EBADF));
    fd_close_many(fds, 2);
    assert_int_equal(new_pipe(fds), 0);
    assert_false(fd_is_unix_stream(fds[0]));
    fd_close_many(fds, 2);
    (void)fd_close(other);
    (void)fd_close(remote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_keeps_errno_and_takes_negatives),
        cmocka_unit_test(taken_descriptor_leaves_a_hole),
        cmocka_unit_test(all_descriptors_but_the_named_are_closed),
        cmocka_unit_test(access_mode_is_told),
        cmocka_unit_test(reopened_file_has_a_description_of_its_own),
        cmocka_unit_test(flags_are_set_and_cleared),
        cmocka_unit_test(sealed_memory_cannot_be_changed),
        cmocka_unit_test(memory_that_lacks_a_seal_is_not_sealed),
        cmocka_unit_test(copy_takes_the_maximum_and_no_byte_more),
        cmocka_unit_test(stream_socket_of_this_host_is_told_from_others),
        cmocka_unit_test(whole_writes_go_to_their_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
