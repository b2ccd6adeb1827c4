/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/image-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

#define MIB  (1 << 20)
#define SIZE (40 * MIB + 5)

ssize_t __real_copy_file_range(
    int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags);
ssize_t __wrap_copy_file_range(
    int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags);

static int copy_errno;      /* 0: the kernel does it */
static size_t copy_at_most; /* 0: whatever is asked for */

ssize_t __wrap_copy_file_range(
    int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    if (copy_errno != 0) {
        errno = copy_errno;
        return -1;
    }
    if (copy_at_most > 0 && size > copy_at_most)
        size = copy_at_most;
    return __real_copy_file_range(from, from_offset, to, to_offset, size, flags);
}

/* Data at the beginning, in the middle and in the last bytes; holes between them. */
static int make_sparse(void)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    uint8_t bytes[70000];

    assert_true(fd >= 0);
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 20 * MIB + 1), sizeof(bytes));
    assert_int_equal(pwrite(fd, bytes, 3, SIZE - 3), 3);
    return fd;
}

static void assert_same(int a, int b, uint64_t offset, uint64_t size)
{
    _cleanup_free_ uint8_t *one = malloc(MIB), *other = malloc(MIB);
    struct stat status;

    assert_int_equal(fstat(b, &status), 0);
    assert_int_equal(status.st_size, size);
    for (uint64_t at = 0; at < size; at += MIB) {
        size_t part = size - at < MIB ? (size_t)(size - at) : MIB;

        assert_int_equal(pread(a, one, part, (off_t)(offset + at)), part);
        assert_int_equal(pread(b, other, part, (off_t)at), part);
        assert_memory_equal(one, other, part);
    }
}

static void copy_and_compare(uint64_t offset, uint64_t size)
{
    _cleanup_close_ int from = make_sparse(), to = memfd_create("copy", MFD_CLOEXEC);
    ByteSource all, source;
    struct stat status;

    assert_int_equal(byte_source_from_fd(from, "source", &all, NULL), 0);
    assert_int_equal(byte_source_slice(&all, offset, size, &source), 0);
    assert_int_equal(image_copy(&source, to, "copy", NULL, NULL), 0);
    assert_same(from, to, offset, size);
    assert_int_equal(fstat(to, &status), 0);
    assert_true((uint64_t)status.st_blocks * 512 <= 3 * 81920); /* holes are holes */
}

static void a_copy_has_the_bytes_and_the_holes(void **state)
{
    (void)state;
    /* ENOSYS is what an old kernel says, EXDEV one that copies in one file system only. */
    static const int errors[] = { 0, ENOSYS, EXDEV, EINVAL, EOPNOTSUPP };

    for (size_t i = 0; i < ELEMENTS_OF(errors); i++) {
        copy_errno = errors[i];
        copy_and_compare(0, SIZE);
        copy_and_compare(0, 30 * MIB);      /* ends in a hole */
        copy_and_compare(0, 20 * MIB + 99); /* and in data */
        copy_and_compare(3 * MIB + 7, 20 * MIB);
        copy_and_compare(0, 0);
    }
    copy_errno = 0;
    copy_at_most = 1000; /* the kernel may do less than it is asked for */
    copy_and_compare(0, SIZE);
    copy_at_most = 0;
}

static void memory_is_copied_too(void **state)
{
    (void)state;
    static uint8_t bytes[300000] = { 1, 2, 3 };
    ByteSource source = byte_source_from_memory(bytes, sizeof(bytes));
    _cleanup_close_ int to = memfd_create("copy", MFD_CLOEXEC);
    _cleanup_free_ uint8_t *there = malloc(sizeof(bytes));

    bytes[sizeof(bytes) - 1] = 9;
    assert_int_equal(image_copy(&source, to, "copy", NULL, NULL), 0);
    assert_int_equal(pread(to, there, sizeof(bytes), 0), sizeof(bytes));
    assert_memory_equal(there, bytes, sizeof(bytes));
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_close_ int from = make_sparse(), to = memfd_create("copy", MFD_CLOEXEC);
    ByteSource source;

    assert_int_equal(byte_source_from_fd(from, "source", &source, NULL), 0);
    copy_errno = ENOSPC;
    assert_int_equal(image_copy(&source, to, "copy", NULL, &error), -ENOSPC);
    copy_errno = 0;
    assert_non_null(
        strstr(error_get_message(&error), "cannot copy the image into 'copy': No space"));
}

static void a_source_that_shrank_is_told(void **state)
{
    (void)state;
    _cleanup_close_ int from = make_sparse(), to = memfd_create("copy", MFD_CLOEXEC);
    ByteSource source;

    assert_int_equal(byte_source_from_fd(from, "source", &source, NULL), 0);
    assert_int_equal(ftruncate(from, 30000), 0);
    assert_int_equal(image_copy(&source, to, "copy", NULL, NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_the_bytes_and_the_holes),
        cmocka_unit_test(memory_is_copied_too),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_source_that_shrank_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
