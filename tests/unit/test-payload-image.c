/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-image.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static PayloadFormat detect_at(size_t offset, const char *magic, size_t size)
{
    uint8_t head[PAYLOAD_HEAD_SIZE] = { 0 };

    memcpy(head + offset, magic, size);
    return payload_format_detect(head, sizeof(head));
}

static void formats_are_told_by_their_magic_numbers(void **state)
{
    (void)state;
    assert_int_equal(detect_at(0, "\177ELF\2\1\1", 7), PAYLOAD_FORMAT_ELF);
    assert_int_equal(detect_at(0, "#!/bin/sh\n", 10), PAYLOAD_FORMAT_SCRIPT);
    assert_int_equal(detect_at(1080, "\x53\xef", 2), PAYLOAD_FORMAT_EXT4);
    assert_int_equal(detect_at(1024, "\xe2\xe1\xf5\xe0", 4), PAYLOAD_FORMAT_EROFS);
    assert_int_equal(detect_at(0, "hsqs", 4), PAYLOAD_FORMAT_SQUASHFS);
    assert_int_equal(detect_at(0, "", 0), PAYLOAD_FORMAT_UNKNOWN);
    assert_int_equal(detect_at(1, "\177ELF", 4), PAYLOAD_FORMAT_UNKNOWN);
}

static void head_that_ends_in_a_magic_number_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(payload_format_detect((const uint8_t *)"", 0), PAYLOAD_FORMAT_UNKNOWN);
    assert_int_equal(payload_format_detect((const uint8_t *)"\177EL", 3), PAYLOAD_FORMAT_UNKNOWN);
    assert_int_equal(payload_format_detect((const uint8_t *)"\177ELF", 4), PAYLOAD_FORMAT_ELF);
}

static void only_file_systems_are_mounted(void **state)
{
    (void)state;
    assert_string_equal(payload_format_get_filesystem(PAYLOAD_FORMAT_EXT4), "ext4");
    assert_string_equal(payload_format_get_filesystem(PAYLOAD_FORMAT_EROFS), "erofs");
    assert_string_equal(payload_format_get_filesystem(PAYLOAD_FORMAT_SQUASHFS), "squashfs");
    assert_null(payload_format_get_filesystem(PAYLOAD_FORMAT_ELF));
    assert_null(payload_format_get_filesystem(PAYLOAD_FORMAT_UNKNOWN));
    assert_null(payload_format_get_filesystem(PAYLOAD_FORMAT_MAX));
}

static size_t copy(const uint8_t *data, size_t size, PayloadFormat format, uint8_t *copied)
{
    _cleanup_close_ int source = memfd_create("source", MFD_CLOEXEC);
    _cleanup_close_ int destination = memfd_create("destination", MFD_CLOEXEC);

    assert_true(source >= 0 && destination >= 0);
    assert_int_equal(fd_write_all(source, data, size), 0);
    assert_int_equal(payload_image_copy_program(source, destination, format), 0);
    off_t end = lseek(destination, 0, SEEK_END);
    assert_true(end >= 0 && (size_t)end <= size);
    assert_int_equal(pread(destination, copied, (size_t)end, 0), end);
    return (size_t)end;
}

static void copied_elf_file_keeps_its_zeros(void **state)
{
    static uint8_t data[20000], copied[sizeof(data)];

    (void)state;
    memcpy(data, "\177ELF", 4);
    data[9000] = 1;
    assert_int_equal(copy(data, sizeof(data), PAYLOAD_FORMAT_ELF, copied), sizeof(data));
    assert_memory_equal(copied, data, sizeof(data));
}

static void copied_script_ends_with_its_last_line(void **state)
{
    static uint8_t data[20000], copied[sizeof(data)];

    (void)state;
    memcpy(data, "#!/bin/sh\n", 10);
    assert_int_equal(copy(data, sizeof(data), PAYLOAD_FORMAT_SCRIPT, copied), 10);
    memset(data + 4096, '#', 4096);
    assert_int_equal(copy(data, sizeof(data), PAYLOAD_FORMAT_SCRIPT, copied), 8192);
    assert_memory_equal(copied, data, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_told_by_their_magic_numbers),
        cmocka_unit_test(head_that_ends_in_a_magic_number_is_unknown),
        cmocka_unit_test(only_file_systems_are_mounted),
        cmocka_unit_test(copied_elf_file_keeps_its_zeros),
        cmocka_unit_test(copied_script_ends_with_its_last_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
