/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are put, in which order they are written, and that nothing stays of what fails. */
#include "composite-disk/avb-image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/avb-partition.h"
#include "tests/helpers/test.h"

#define BLOCK      4096
#define IMAGE_SIZE (130 * BLOCK + 100) /* 131 blocks: two of hashes and one above them */
#define TREE_AT    (131 * BLOCK)
#define VBMETA_AT  (TREE_AT + 3 * BLOCK)
#define SMALLEST   (VBMETA_AT + 2 * BLOCK)

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_ftruncate(int fd, off_t size);
int __real_fsync(int fd);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fsync(int fd);

/* The requests so far as letters: what is written, T(ree), V(bmeta), F(ooter); R(esized);
 * S(ynced). The same letter twice is noted once. */
static struct {
    bool recorded;
    size_t n, fail_at; /* the fail_at'th and those after it; 0: none */
    char trace[64];
} disk;

static bool note(char letter)
{
    size_t length = strlen(disk.trace);

    if (!disk.recorded)
        return true;
    disk.n++;
    if (length == 0 || disk.trace[length - 1] != letter) {
        assert_true(length + 1 < sizeof(disk.trace));
        disk.trace[length] = letter;
    }
    return disk.fail_at == 0 || disk.n < disk.fail_at;
}

static int fail_request(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    char letter = offset < VBMETA_AT ? 'T' : size == AVB_FOOTER_SIZE ? 'F' : 'V';

    return note(letter) ? __real_pwrite(fd, bytes, size, offset) : fail_request();
}

int __wrap_ftruncate(int fd, off_t size)
{
    if (size == IMAGE_SIZE && disk.fail_at > 0)
        return __real_ftruncate(fd, size); /* what is taken back needs no room */
    return note('R') ? __real_ftruncate(fd, size) : fail_request();
}

int __wrap_fsync(int fd)
{
    return note('S') ? __real_fsync(fd) : fail_request();
}

static const uint8_t salt[] = { 9, 8, 7 };
static uint8_t data[IMAGE_SIZE];

static int make_file(size_t size)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    assert_true(fd >= 0);
    for (size_t i = 0; i < IMAGE_SIZE; i++)
        data[i] = (uint8_t)(i / BLOCK + i);
    assert_int_equal(__real_pwrite(fd, data, size, 0), size);
    return fd;
}

static VbmetaContents contents_unsigned(void)
{
    return (VbmetaContents){ .algorithm = vbmeta_algorithm_find(0), .release = "test" };
}

static AvbImageOptions options_with(const VbmetaContents *contents, uint64_t partition_size)
{
    return (AvbImageOptions){ .name = "system",
                              .salt = { salt, sizeof(salt) },
                              .partition_size = partition_size,
                              .contents = contents };
}

static uint64_t size_of(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return (uint64_t)status.st_size;
}

static void assert_image_only(int fd, size_t size)
{
    static uint8_t there[IMAGE_SIZE];

    assert_int_equal(size_of(fd), size);
    assert_int_equal(pread(fd, there, size, 0), size);
    assert_memory_equal(there, data, size);
}

static void everything_is_where_avbtool_puts_it(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    static const uint64_t sizes[] = { 0, SMALLEST, SMALLEST + 10 * BLOCK };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        AvbImageOptions options = options_with(&contents, sizes[i]);
        uint64_t partition_size = sizes[i] ? sizes[i] : SMALLEST;
        _cleanup_close_ int fd = make_file(IMAGE_SIZE);
        _cleanup_free_ uint8_t *loaded = NULL;
        AvbImage made;
        AvbFooter footer;
        AvbDescriptor read;
        ByteSource source;
        uint64_t offset;
        Vbmeta vbmeta;
        size_t size;

        assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &made, NULL), 0);
        assert_int_equal(made.partition_size, partition_size);
        assert_int_equal(size_of(fd), partition_size);
        assert_int_equal(byte_source_from_fd(fd, "image", &source, NULL), 0);
        assert_int_equal(avb_footer_read(&source, &footer, NULL), 1);
        assert_int_equal(footer.image_size, IMAGE_SIZE);
        assert_int_equal(footer.vbmeta_offset, VBMETA_AT);
        assert_int_equal(vbmeta_load(&source, &loaded, &size, &offset, NULL), 0);
        assert_int_equal(vbmeta_parse(loaded, size, &vbmeta, NULL), 0);
        assert_int_equal(vbmeta.data.size, footer.vbmeta_size);
        AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta.descriptors);
        assert_int_equal(avb_descriptor_next(&cursor, &read, NULL), 1);
        assert_int_equal(read.tag, AVB_HASHTREE);
        assert_int_equal(read.hashtree.image_size, TREE_AT);
        assert_int_equal(read.hashtree.tree_offset, TREE_AT);
        assert_int_equal(read.hashtree.tree_size, 3 * BLOCK);
        assert_true(avb_bytes_equal(read.hashtree.digest, made.tree.digest));
        assert_int_equal(avb_partition_verify_hashtree(&read.hashtree, &source, NULL, NULL), 0);
        assert_int_equal(avb_descriptor_next(&cursor, &read, NULL), 0);
    }
}

static void other_descriptors_follow(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    AvbImageOptions options = options_with(&contents, 0);
    const AvbDescriptor property = {
        .tag = AVB_PROPERTY,
        .property = { avb_bytes_from_string("key"), avb_bytes_from_string("value") },
    };
    static uint8_t bytes[VBMETA_SIZE_MAX];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_close_ int fd = make_file(IMAGE_SIZE);
    AvbImage made;

    contents.descriptors = (AvbBytes){ bytes, sizeof(bytes) - 128 };
    assert_true(avb_image_add_hashtree(fd, "image", &options, &made, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "do not fit"));
    assert_image_only(fd, IMAGE_SIZE);
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    assert_int_equal(avb_descriptor_encode(&property, &writer, NULL), 0);
    contents.descriptors.size = writer.size;
    assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &made, NULL), 0);
    uint8_t there[64];
    /* 180 bytes, a name of 6, a salt of 3 and a digest of 32 come first: 224. */
    assert_int_equal(pread(fd, there, writer.size, VBMETA_AT + VBMETA_HEADER_SIZE + 224),
                     writer.size);
    assert_memory_equal(there, bytes, writer.size);
}

static void an_image_of_one_block_or_less_has_no_tree(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    AvbImageOptions options = options_with(&contents, 0);
    static const size_t sizes[] = { 1, BLOCK };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        _cleanup_close_ int fd = make_file(sizes[i]);
        AvbImage made;

        assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &made, NULL), 0);
        assert_int_equal(made.tree.tree_size, 0);
        assert_int_equal(made.footer.vbmeta_offset, BLOCK);
        assert_int_equal(made.footer.image_size, sizes[i]);
        assert_int_equal(size_of(fd), 3 * BLOCK);
    }
}

static void assert_refused(int fd,
                           const AvbImageOptions *options,
                           ErrorKind kind,
                           const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    AvbImage made;

    assert_true(avb_image_add_hashtree(fd, "image", options, &made, &error) < 0);
    assert_int_equal(error.kind, kind);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void what_is_refused_leaves_the_file(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    static const uint64_t sizes[] = {
        1, SMALLEST - BLOCK, SMALLEST - 1, SMALLEST + 1, UINT64_C(1) << 63, UINT64_MAX - 4095
    };
    _cleanup_close_ int fd = make_file(IMAGE_SIZE);

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        AvbImageOptions options = options_with(&contents, sizes[i]);
        char words[64];

        (void)snprintf(words, sizeof(words), "at least %d", SMALLEST);
        assert_refused(fd, &options, ERROR_INVALID_ARGUMENT, words);
    }
    AvbImageOptions options = options_with(&contents, 0);
    options.name = "a name of more than 31 bytes, which is too many";
    assert_refused(fd, &options, ERROR_INVALID_ARGUMENT, "partition name");
    options = options_with(&contents, 0);
    contents.algorithm = vbmeta_algorithm_find(1);
    assert_refused(fd, &options, ERROR_INVALID_ARGUMENT, "needs a key");
    assert_image_only(fd, IMAGE_SIZE);
}

static void only_a_file_that_can_be_written_is_taken(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    AvbImageOptions options = options_with(&contents, 0);
    _cleanup_close_ int fd = make_file(IMAGE_SIZE), empty = make_file(0);
    _cleanup_close_ int read_only = -EBADF, directory = open("/", O_RDONLY | O_CLOEXEC);
    AvbImage made;

    assert_int_equal(fd_reopen(fd, O_RDONLY, &read_only), 0);
    assert_refused(read_only, &options, ERROR_INVALID_FILE, "reading and writing");
    assert_refused(empty, &options, ERROR_INVALID_FILE, "empty");
    assert_refused(directory, &options, ERROR_INVALID_FILE, "directory");
    assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &made, NULL), 0);
    assert_refused(fd, &options, ERROR_IMAGE_INVALID,
                   "an AVB footer already, behind an image of 532580 bytes");
}

static void each_part_is_on_the_disk_before_the_next(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    AvbImageOptions options = options_with(&contents, 0);
    _cleanup_close_ int fd = make_file(IMAGE_SIZE);
    AvbImage made;

    memset(&disk, 0, sizeof(disk));
    disk.recorded = true;
    assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &made, NULL), 0);
    disk.recorded = false;
    assert_string_equal(disk.trace, "RTSVRSFS");
}

static void whatever_fails_the_file_is_cut_to_its_size(void **state)
{
    (void)state;
    VbmetaContents contents = contents_unsigned();
    AvbImageOptions options = options_with(&contents, 0);
    size_t n = 0;

    for (size_t fail_at = 1; n == 0 || fail_at <= n; fail_at++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        _cleanup_close_ int fd = make_file(IMAGE_SIZE);
        AvbImage made;

        memset(&disk, 0, sizeof(disk));
        disk.recorded = true;
        disk.fail_at = fail_at;
        int r = avb_image_add_hashtree(fd, "image", &options, &made, &error);
        disk.recorded = false;
        if (r >= 0) {
            n = disk.n; /* all have failed once */
            assert_true(fail_at == n + 1 && n >= 8);
            break;
        }
        assert_image_only(fd, IMAGE_SIZE);
        assert_int_equal(error.kind, ERROR_FAILED);
        assert_non_null(strstr(error_get_message(&error), "No space left"));
    }
    assert_true(n >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_where_avbtool_puts_it),
        cmocka_unit_test(other_descriptors_follow),
        cmocka_unit_test(an_image_of_one_block_or_less_has_no_tree),
        cmocka_unit_test(what_is_refused_leaves_the_file),
        cmocka_unit_test(only_a_file_that_can_be_written_is_taken),
        cmocka_unit_test(each_part_is_on_the_disk_before_the_next),
        cmocka_unit_test(whatever_fails_the_file_is_cut_to_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
