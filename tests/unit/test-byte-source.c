/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/byte-source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static void parts_that_are_joined_read_as_one(void **state)
{
    (void)state;
    _cleanup_close_ int fd = new_file("xxdefxx");
    ByteSource parts[] = { byte_source_from_memory("abc", 3),
                           byte_source_from_memory("", 0),
                           { 0 },
                           byte_source_from_memory("gh", 2) };
    ByteSource file, joined, slice, empty;
    char buffer[9];

    assert_int_equal(byte_source_from_fd(fd, "it", &file, NULL), 0);
    assert_int_equal(byte_source_slice(&file, 2, 3, &parts[2]), 0);
    assert_int_equal(byte_source_join(parts, 4, &joined), 0);
    assert_reads(&joined);
    for (size_t start = 0; start <= 8; start++) {
        for (size_t size = 0; start + size <= 8; size++) {
            memset(buffer, 0, sizeof(buffer));
            assert_int_equal(byte_source_slice(&joined, start, size, &slice), 0);
            assert_int_equal(byte_source_read(&slice, 0, buffer, size), 0);
            assert_memory_equal(buffer, "abcdefgh" + start, size);
            assert_int_equal(buffer[size], 0);
            assert_int_equal(byte_source_read(&slice, 0, buffer, size + 1), -EBADMSG);
        }
    }
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_int_equal(byte_source_read(&joined, 0, buffer, 8), -EBADMSG);
    assert_int_equal(byte_source_join(NULL, 0, &empty), 0);
    assert_int_equal(empty.size, 0);
}

static void parts_that_are_too_many_bytes_are_not_joined(void **state)
{
    (void)state;
    ByteSource parts[] = { { .fd = 0, .size = INT64_MAX - 1 },
                           { .fd = 0, .size = 1 },
                           { .fd = 0, .size = 1 },
                           { .fd = 0, .size = UINT64_MAX } };
    ByteSource joined;

    assert_int_equal(byte_source_join(parts, 2, &joined), 0);
    assert_int_equal(byte_source_join(parts, 3, &joined), -EFBIG);
    assert_int_equal(byte_source_join(parts + 2, 2, &joined), -EFBIG);
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

static void all_of_it_is_read_up_to_a_maximum(void **state)
{
    (void)state;
    ByteSource source = byte_source_from_memory("abcdefgh", 8), none = { .fd = -EBADF };
    uint8_t *bytes = NULL;

    assert_int_equal(byte_source_read_all(&source, 7, &bytes), -EFBIG);
    assert_null(bytes);
    assert_int_equal(byte_source_read_all(&source, 8, &bytes), 0);
    assert_string_equal((const char *)bytes, "abcdefgh");
    free(bytes);
    assert_int_equal(byte_source_read_all(&none, 0, &bytes), 0);
    assert_string_equal((const char *)bytes, "");
    free(bytes);
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
    _cleanup_close_ int file = new_file("abcdefgh"), write_only = -EBADF, path_only = -EBADF;
    int pipes[2];

    assert_int_equal(fd_reopen(file, O_WRONLY, &write_only), 0);
    assert_int_equal(fd_reopen(file, O_PATH, &path_only), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_refused(directory, -EBADF, "'it' is a directory; an image is a regular file");
    assert_refused(device, -EBADF, "'it' is a character device");
    assert_refused(pipes[0], -EBADF, "'it' is a pipe");
    assert_refused(write_only, -EBADF, "'it' is not open for reading");
    assert_refused(path_only, -EBADF, "'it' is not open for reading");
    assert_refused(-1, -EBADF, "cannot look at 'it': Bad file descriptor");
    fd_close_many(pipes, 2);
}

static void what_is_no_image_is_not_even_opened(void **state)
{
    (void)state;
    char path[] = "/tmp/byte-source-XXXXXX";
    uint8_t event[sizeof(struct inotify_event) + NAME_MAX + 1];
    _cleanup_close_ int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ByteSource source;

    int fd = mkstemp(path);
    assert_true(fd >= 0 && fd_close(fd) < 0);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
    assert_int_equal(byte_source_open(path, &source, NULL), 0);
    assert_true(read(watch, event, sizeof(event)) > 0); /* a file is */
    (void)fd_close(source.fd);

    assert_int_equal(unlink(path), 0);
    while (read(watch, event, sizeof(event)) > 0) {
    }
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
    assert_true(byte_source_open(path, &source, NULL) < 0);
    assert_int_equal(read(watch, event, sizeof(event)), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_files_read_alike),
        cmocka_unit_test(parts_that_are_joined_read_as_one),
        cmocka_unit_test(parts_that_are_too_many_bytes_are_not_joined),
        cmocka_unit_test(slices_of_slices_stay_inside),
        cmocka_unit_test(all_of_it_is_read_up_to_a_maximum),
        cmocka_unit_test(a_file_that_shrinks_is_noticed),
        cmocka_unit_test(what_is_no_image_is_named),
        cmocka_unit_test(what_is_no_image_is_not_even_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
