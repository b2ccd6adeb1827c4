/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/boot-archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

/* Written by hand from the format's description. */
/* clang-format off */
static const char golden[] =
    "070701"
    "00000001"            /* inode */
    "00008100"            /* regular, 0400 */
    "00000000" "00000000" /* root's */
    "00000001"            /* links */
    "00000000"            /* time */
    "00000005"            /* size */
    "00000000" "00000000" "00000000" "00000000"
    "00000005"            /* of the name */
    "00000000"
    "name\0" "\0"         /* to 116 */
    "bytes" "\0\0\0"      /* to 124 */
    "070701"
    "00000000" "00000000" "00000000" "00000000" "00000001" "00000000" "00000000"
    "00000000" "00000000" "00000000" "00000000"
    "0000000B" "00000000"
    "TRAILER!!!";         /* its NUL is the array's */
/* clang-format on */

static void archive_is_what_the_format_says(void **state)
{
    uint8_t buffer[2 * BOOT_ARCHIVE_BLOCK_SIZE];
    ByteWriter writer = byte_writer(buffer, sizeof(buffer));

    (void)state;
    boot_archive_put(&writer, "name", "bytes", 5);
    assert_int_equal(byte_writer_finish(&writer), 0);
    assert_int_equal(writer.size, BOOT_ARCHIVE_BLOCK_SIZE);
    assert_memory_equal(buffer, golden, sizeof(golden));
    for (size_t i = sizeof(golden); i < writer.size; i++)
        assert_int_equal(buffer[i], 0);
}

static void archive_that_does_not_fit_is_told(void **state)
{
    uint8_t buffer[BOOT_ARCHIVE_BLOCK_SIZE];

    (void)state;
    ByteWriter writer = byte_writer(buffer, sizeof(buffer));
    boot_archive_put(&writer, "name", "bytes", 5);
    assert_int_equal(byte_writer_finish(&writer), 0);
    writer = byte_writer(buffer, sizeof(buffer) - 1);
    boot_archive_put(&writer, "name", "bytes", 5);
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
}

static void padding_counts_from_the_beginning_of_the_archive(void **state)
{
    uint8_t alone[BOOT_ARCHIVE_BLOCK_SIZE], behind[3 + BOOT_ARCHIVE_BLOCK_SIZE];
    ByteWriter writer = byte_writer(alone, sizeof(alone));

    (void)state;
    boot_archive_put(&writer, "name", "bytes", 5);
    writer = byte_writer(behind, sizeof(behind));
    byte_writer_put_zeros(&writer, 3);
    boot_archive_put(&writer, "name", "bytes", 5);
    assert_int_equal(byte_writer_finish(&writer), 0);
    assert_memory_equal(alone, behind + 3, sizeof(alone));
}

/* What @command prints, which reads @archive on its standard input. */
static void run(const char *command, const uint8_t *archive, size_t size, char *output, size_t room)
{
    char path[] = "/tmp/test-boot-archive-XXXXXX", line[256];

    _cleanup_close_ int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, archive, size), 0);
    (void)snprintf(line, sizeof(line), "%s <%s", command, path);
    FILE *stream = popen(line, "r"); /* NOLINT(cert-env33-c): the test's own words */
    assert_non_null(stream);
    size_t n = fread(output, 1, room - 1, stream);
    output[n] = '\0';
    assert_int_equal(pclose(stream), 0);
    assert_int_equal(unlink(path), 0);
}

/* cpio(1) as the second opinion, over names and contents of every remainder. */
static void cpio_reads_it(void **state)
{
    static const char content[] = "0123456789abcdef";
    char name[] = "abcdefgh", command[128], output[512], expected[128];

    (void)state;
    for (size_t name_length = 1; name_length <= 4; name_length++) {
        for (uint32_t size = 8; size < 12; size++) {
            uint8_t buffer[BOOT_ARCHIVE_BLOCK_SIZE];
            ByteWriter writer = byte_writer(buffer, sizeof(buffer));

            memset(name, 'x', name_length);
            name[name_length] = '\0';
            boot_archive_put(&writer, name, content, size);
            assert_int_equal(byte_writer_finish(&writer), 0);
            run("TZ=UTC LC_ALL=C cpio --list --verbose --numeric-uid-gid --quiet 2>&1", buffer,
                writer.size, output, sizeof(output));
            (void)snprintf(expected, sizeof(expected),
                           "-r--------   1 0        0        %8u Jan  1  1970 %s\n", size, name);
            assert_string_equal(output, expected);
            (void)snprintf(command, sizeof(command), "cpio --extract --to-stdout --quiet %s", name);
            run(command, buffer, writer.size, output, sizeof(output));
            assert_int_equal(strlen(output), size);
            assert_memory_equal(output, content, size);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive_is_what_the_format_says),
        cmocka_unit_test(archive_that_does_not_fit_is_told),
        cmocka_unit_test(padding_counts_from_the_beginning_of_the_archive),
        cmocka_unit_test(cpio_reads_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
