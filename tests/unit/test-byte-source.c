/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/byte-source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static int new_file(const char *text)
{
    int fd = memfd_create("bytes", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    return fd;
}

static void assert_reads(const ByteSource *source)
{
    char buffer[9] = "";

    assert_true(source->size == 8);
    assert_int_equal(byte_source_read(source, 0, buffer, 8), 0);
    assert_string_equal(buffer, "abcdefgh");
    assert_int_equal(byte_source_read(source, 7, buffer, 1), 0);
    assert_int_equal(buffer[0], 'h');
    assert_int_equal(byte_source_read(source, 8, buffer, 0), 0);
    assert_int_equal(byte_source_read(source, 8, buffer, 1), -EBADMSG);
    assert_int_equal(byte_source_read(source, 7, buffer, 2), -EBADMSG);
    assert_int_equal(byte_source_read(source, 9, buffer, 0), -EBADMSG);
    assert_int_equal(byte_source_read(source, UINT64_MAX, buffer, 1), -EBADMSG);
    assert_int_equal(byte_source_read(source, 1, buffer, SIZE_MAX), -EBADMSG);
}

static void memory_and_files_read_alike(void **state)
{
    (void)state;
    _cleanup_close_ int fd = new_file("abcdefgh");
    ByteSource memory = byte_source_from_memory("abcdefgh", 8), file;

    assert_reads(&memory);
    assert_int_equal(byte_source_from_fd(fd, "it", &file, NULL), 0);
    assert_reads(&file);
}

static void slices_of_slices_stay_inside(void **state)
{
    (void)state;
    _cleanup_close_ int fd = new_file("abcdefgh");
    ByteSource sources[2] = { byte_source_from_memory("abcdefgh", 8) };

    assert_int_equal(byte_source_from_fd(fd, "it", &sources[1], NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        ByteSource middle, inner, none;
        char buffer[3] = "";

        assert_int_equal(byte_source_slice(&sources[i], 2, 4, &middle), 0);
        assert_int_equal(byte_source_slice(&middle, 1, 2, &inner), 0);
        assert_int_equal(byte_source_read(&inner, 0, buffer, 2), 0);
        assert_string_equal(buffer, "de");
        assert_int_equal(byte_source_read(&inner, 0, buffer, 3), -EBADMSG);
        assert_int_equal(byte_source_slice(&middle, 4, 0, &none), 0);
        assert_int_equal(byte_source_slice(&middle, 3, 2, &none), -EBADMSG);
        assert_int_equal(byte_source_slice(&middle, UINT64_MAX, 2, &none), -EBADMSG);
    }
}

static void a_file_that_shrinks_is_noticed(void **state)
{
    (void)state;
    _cleanup_close_ int fd = new_file("abcdefgh");
    ByteSource source;
    char buffer[8];

    assert_int_equal(byte_source_from_fd(fd, "it", &source, NULL), 0);
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_int_equal(byte_source_read(&source, 0, buffer, 8), -EBADMSG);
}

static void assert_refused(int fd, int error_number, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source;

    assert_int_equal(byte_source_from_fd(fd, "it", &source, &error), error_number);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    if (!strstr(error_get_message(&error), sentence))
        fail_msg("'%s' is not in '%s'", sentence, error_get_message(&error));
}

static void what_is_no_image_is_named(void **state)
{
    (void)state;
    _cleanup_close_ int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int device = open("/dev/null", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);
    _cleanup_close_ int path_only = open("/dev/null", O_PATH | O_CLOEXEC);
    int pipes[2];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_refused(directory, -EBADF, "'it' is a directory; an image is a regular file");
    assert_refused(device, -EBADF, "'it' is a character device");
    assert_refused(pipes[0], -EBADF, "'it' is a pipe");
    assert_refused(write_only, -EBADF, "'it' is not open for reading");
    assert_refused(path_only, -EBADF, "'it' is not open for reading");
    assert_refused(-1, -EBADF, "'it': Bad file descriptor");
    fd_close_many(pipes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_files_read_alike),
        cmocka_unit_test(slices_of_slices_stay_inside),
        cmocka_unit_test(a_file_that_shrinks_is_noticed),
        cmocka_unit_test(what_is_no_image_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
