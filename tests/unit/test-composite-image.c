/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing and the limits of nesting; the rules of descriptors are test-composite-
 * descriptor's. Files are in memory, and are named as descriptors of this process. */
#include "composite-disk/composite-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

typedef struct Name {
    char text[32];
} Name;

/* What a process of ours has inherited is not close-on-exec. */
static Name name_of(int fd)
{
    Name name;

    (void)snprintf(name.text, sizeof(name.text), "/proc/self/fd/%d", fd);
    return name;
}

static int new_file(const void *data, size_t size)
{
    int fd = memfd_create("file", 0);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, size), 0);
    return fd;
}

static int new_composite(const CompositeComponent *components, size_t n)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor =
        calloc(1, sizeof(*descriptor));
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0;

    descriptor->version = COMPOSITE_VERSION;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(composite_descriptor_add(descriptor, components[i].path,
                                                  components[i].file_offset, components[i].size,
                                                  components[i].writable),
                         0);
    assert_int_equal(composite_descriptor_encode(descriptor, &bytes, &size, NULL), 0);
    return new_file(bytes, size);
}

static void reads_and_writes_go_to_the_right_files(void **state)
{
    (void)state;
    _cleanup_close_ int a = new_file("aaaaaaaa", 8), b = new_file("bbbbbbbb", 8);
    Name name_a = name_of(a), name_b = name_of(b);
    const CompositeComponent components[] = {
        { .path = name_a.text, .size = 4, .file_offset = 2 },
        { .path = name_b.text, .size = 8, .writable = true },
    };
    _cleanup_close_ int disk = new_composite(components, 2);
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char buffer[13] = "";

    assert_int_equal(
        composite_image_open(name_of(disk).text, COMPOSITE_IMAGE_WRITABLE, &image, NULL), 0);
    assert_true(image->size == 12 && image->n_pieces == 2);
    assert_int_equal(composite_image_read(image, 0, buffer, 12, NULL), 0);
    assert_string_equal(buffer, "aaaabbbbbbbb");
    assert_int_equal(composite_image_write(image, 5, "xyz", 3, NULL), 0);
    assert_int_equal(composite_image_flush(image, NULL), 0);
    assert_int_equal(pread(b, buffer, 8, 0), 8);
    assert_memory_equal(buffer, "bxyzbbbb", 8);
    assert_int_equal(composite_image_write(image, 3, "q", 1, &error), -EACCES);
    assert_int_equal(error.kind, ERROR_ACCESS_DENIED);
    assert_int_equal(pread(a, buffer, 8, 0), 8);
    assert_memory_equal(buffer, "aaaaaaaa", 8);
    assert_int_equal(composite_image_read(image, 12, buffer, 1, NULL), -EBADMSG);
    assert_int_equal(composite_image_read(image, UINT64_MAX, buffer, 2, NULL), -EBADMSG);
    assert_int_equal(composite_image_write(image, 12, "q", 1, NULL), -EBADMSG);
}

static void a_disk_that_is_opened_for_reading_is_not_written(void **state)
{
    (void)state;
    _cleanup_close_ int a = new_file("aaaaaaaa", 8);
    Name name = name_of(a);
    _cleanup_close_ int disk =
        new_composite(&(CompositeComponent){ .path = name.text, .size = 8, .writable = true }, 1);
    _cleanup_(composite_image_freep) CompositeImage *image = NULL, *raw = NULL;

    /* The descriptor itself is open for writing here: what counts is what was asked for. */
    assert_int_equal(composite_image_open(name_of(disk).text, 0, &image, NULL), 0);
    assert_int_equal(composite_image_write(image, 0, "x", 1, NULL), -EACCES);
    assert_int_equal(composite_image_open(name.text, COMPOSITE_IMAGE_NO_LOCK, &raw, NULL), 0);
    assert_null(raw->descriptor);
    assert_int_equal(composite_image_write(raw, 0, "x", 1, NULL), -EACCES);
}

static void a_file_that_is_too_short_is_named(void **state)
{
    (void)state;
    _cleanup_close_ int a = new_file("aaaa", 4);
    Name name = name_of(a);
    _cleanup_close_ int disk =
        new_composite(&(CompositeComponent){ .path = name.text, .size = 8, .writable = true }, 1);
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char buffer[8];

    assert_int_equal(
        composite_image_open(name_of(disk).text, COMPOSITE_IMAGE_WRITABLE, &image, NULL), 0);
    assert_int_equal(composite_image_read(image, 0, buffer, 4, NULL), 0);
    assert_int_equal(composite_image_read(image, 0, buffer, 5, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "ends before its place on the disk does"));
    assert_int_equal(composite_image_write(image, 4, "x", 1, NULL), -EBADMSG);
    assert_int_equal(lseek(a, 0, SEEK_END), 4); /* it has not grown */
}

static void descriptors_of_our_own_are_nobody_elses(void **state)
{
    (void)state;
    static const char *const names[] = { "/proc/self/fd/x", "/proc/self/fd/", "/proc/self/fd/1000",
                                         "/proc/self/fd/99999999999" };
    _cleanup_close_ int own = memfd_create("own", MFD_CLOEXEC);
    Name own_name = name_of(own);
    CompositeImage *image = NULL;

    for (size_t i = 0; i <= ELEMENTS_OF(names); i++) {
        char path[64];
        _cleanup_(error_clear) Error error = ERROR_INIT;

        (void)snprintf(path, sizeof(path), "%s", i < ELEMENTS_OF(names) ? names[i] : own_name.text);
        _cleanup_close_ int disk =
            new_composite(&(CompositeComponent){ .path = path, .size = 8 }, 1);
        assert_true(composite_image_open(name_of(disk).text, 0, &image, &error) < 0);
        assert_int_equal(error.kind, ERROR_INVALID_FILE);
    }
    assert_null(image);
}

static void opens(int disk, size_t n_pieces)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;

    assert_int_equal(composite_image_open(name_of(disk).text, 0, &image, NULL), 0);
    assert_int_equal(image->n_pieces, n_pieces);
}

static void has_too_many_files(int disk)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeImage *none = NULL;

    assert_int_equal(composite_image_open(name_of(disk).text, 0, &none, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "more than 4096 files"));
    assert_null(none);
}

static void the_files_of_nested_disks_are_counted_together(void **state)
{
    (void)state;
    enum {
        PARTS = 64
    };
    static CompositeComponent inner[PARTS], outer[PARTS + 1];
    _cleanup_close_ int file = new_file("12345678", 8);
    Name file_name = name_of(file);

    for (size_t i = 0; i < PARTS; i++)
        inner[i] = (CompositeComponent){ .path = file_name.text, .size = 8 };
    _cleanup_close_ int middle = new_composite(inner, PARTS);
    Name middle_name = name_of(middle);
    for (size_t i = 0; i < PARTS - 1; i++)
        outer[i] = (CompositeComponent){ .path = middle_name.text, .size = PARTS * 8 };
    outer[PARTS - 1] = outer[PARTS] = inner[0];
    _cleanup_close_ int fits = new_composite(outer, PARTS); /* 63 disks of 64 files, and one */
    opens(fits, (PARTS - 1) * PARTS + 1);
    _cleanup_close_ int too_many = new_composite(outer, PARTS + 1);
    has_too_many_files(too_many);
}

/* Else ten levels of a thousand files would be opened for a thousand bytes. */
static void files_that_a_disk_does_not_show_count_too(void **state)
{
    (void)state;
    enum {
        PARTS = 64
    };
    static CompositeComponent inner[PARTS], outer[PARTS];
    _cleanup_close_ int file = new_file("12345678", 8);
    Name file_name = name_of(file);

    for (size_t i = 0; i < PARTS; i++)
        inner[i] = (CompositeComponent){ .path = file_name.text, .size = 8 };
    _cleanup_close_ int middle = new_composite(inner, PARTS);
    Name middle_name = name_of(middle);
    for (size_t i = 0; i < PARTS; i++)
        outer[i] = (CompositeComponent){ .path = middle_name.text, .size = 8 };
    _cleanup_close_ int fits = new_composite(outer, PARTS - 1);
    opens(fits, PARTS - 1);
    _cleanup_close_ int too_many = new_composite(outer, PARTS);
    has_too_many_files(too_many);
}

/* A descriptor of @size bytes: most of it is a field that nobody knows. */
static int new_large_composite(const char *path, size_t size)
{
    const CompositeComponent component = { .path = (char *)(uintptr_t)path, .size = 8 };
    int fd = new_composite(&component, 1);
    off_t end = lseek(fd, 0, SEEK_END);
    size_t n = size - (size_t)end - 4;
    const uint8_t tag[] = { 15 << 3 | 2, (uint8_t)((n & 0x7f) | 0x80),
                            (uint8_t)((n >> 7 & 0x7f) | 0x80), (uint8_t)(n >> 14) };

    assert_int_equal(pwrite(fd, tag, sizeof(tag), end), sizeof(tag));
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void the_descriptors_of_nested_disks_are_limited_together(void **state)
{
    (void)state;
    CompositeComponent outer[4];
    _cleanup_close_ int file = new_file("12345678", 8);
    _cleanup_close_ int large = new_large_composite(name_of(file).text, COMPOSITE_DESCRIPTOR_MAX);
    Name large_name = name_of(large);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeImage *none = NULL;

    for (size_t i = 0; i < ELEMENTS_OF(outer); i++)
        outer[i] = (CompositeComponent){ .path = large_name.text, .size = 8 };
    _cleanup_close_ int fits = new_composite(outer, 3);
    opens(fits, 3);
    _cleanup_close_ int too_many = new_composite(outer, 4); /* with its own bytes */
    assert_int_equal(composite_image_open(name_of(too_many).text, 0, &none, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "have more than 4194304 bytes"));
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    int fds[COMPOSITE_DEPTH_MAX + 2];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeImage *image = NULL;

    fds[0] = new_file("12345678", 8);
    for (size_t i = 1; i < ELEMENTS_OF(fds); i++) {
        Name name = name_of(fds[i - 1]);

        fds[i] = new_composite(&(CompositeComponent){ .path = name.text, .size = 8 }, 1);
    }
    assert_int_equal(composite_image_open(name_of(fds[COMPOSITE_DEPTH_MAX]).text, 0, &image, NULL),
                     0);
    image = composite_image_free(image);
    assert_int_equal(
        composite_image_open(name_of(fds[COMPOSITE_DEPTH_MAX + 1]).text, 0, &image, &error),
        -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "in more than 10 others"));
    fd_close_many(fds, ELEMENTS_OF(fds));
}

static void holes_are_found_but_not_in_inherited_files(void **state)
{
    (void)state;
    char path[] = "/tmp/composite-image-XXXXXX";
    _cleanup_close_ int sparse = mkstemp(path);
    _cleanup_close_ int other = new_file("12345678", 8);
    Name other_name = name_of(other);
    const uint64_t size = UINT64_C(1) << 40, data = UINT64_C(1) << 30;

    assert_true(sparse >= 0);
    assert_int_equal(ftruncate(sparse, (off_t)size), 0);
    assert_int_equal(pwrite(sparse, "x", 1, (off_t)data), 1);
    const CompositeComponent components[] = {
        { .path = path, .size = size },
        { .path = other_name.text, .size = 8 },
    };
    _cleanup_close_ int disk = new_composite(components, 2);
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;

    assert_int_equal(composite_image_open(name_of(disk).text, 0, &image, NULL), 0);
    assert_int_equal(unlink(path), 0);
    uint64_t found = composite_image_find_data(image, 0);
    assert_true(found > 0 && found <= data && found % 512 == 0);
    assert_true(composite_image_find_data(image, data) == data);
    assert_true(composite_image_find_data(image, data + (1 << 20)) == size);
    assert_true(composite_image_find_data(image, size + 3) == size + 3);
    assert_int_equal(lseek(other, 0, SEEK_CUR), 8); /* where its owner left it */
}

static void a_nested_disk_smaller_than_its_place_is_refused(void **state)
{
    (void)state;
    _cleanup_close_ int file = new_file("12345678", 8);
    Name file_name = name_of(file);
    _cleanup_close_ int inner =
        new_composite(&(CompositeComponent){ .path = file_name.text, .size = 8 }, 1);
    Name inner_name = name_of(inner);
    _cleanup_close_ int outer =
        new_composite(&(CompositeComponent){ .path = inner_name.text, .size = 9 }, 1);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    CompositeImage *image = NULL;

    assert_int_equal(composite_image_open(name_of(outer).text, 0, &image, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "has 8 bytes, and its place needs 9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_go_to_the_right_files),
        cmocka_unit_test(a_disk_that_is_opened_for_reading_is_not_written),
        cmocka_unit_test(a_file_that_is_too_short_is_named),
        cmocka_unit_test(descriptors_of_our_own_are_nobody_elses),
        cmocka_unit_test(the_files_of_nested_disks_are_counted_together),
        cmocka_unit_test(files_that_a_disk_does_not_show_count_too),
        cmocka_unit_test(the_descriptors_of_nested_disks_are_limited_together),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(holes_are_found_but_not_in_inherited_files),
        cmocka_unit_test(a_nested_disk_smaller_than_its_place_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
