/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-footer.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define PARTITION_SIZE 16384

static void put_be(uint8_t *bytes, unsigned width, uint64_t value)
{
    for (unsigned i = width; i-- > 0; value >>= 8)
        bytes[i] = (uint8_t)value;
}

static int read_footer(const uint8_t *bytes, size_t size, AvbFooter *ret_footer, Error *error)
{
    ByteSource source = byte_source_from_memory(bytes, size);

    return avb_footer_read(&source, ret_footer, error);
}

static void a_footer_lies_as_the_format_has_it(void **state)
{
    (void)state;
    const AvbFooter footer = { 0x1122, 0x2000, 0x700 };
    static uint8_t partition[PARTITION_SIZE];
    AvbFooter read;

    avb_footer_encode(&footer, partition + PARTITION_SIZE - AVB_FOOTER_SIZE);
    assert_memory_equal(partition + PARTITION_SIZE - AVB_FOOTER_SIZE,
                        "AVBf\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\x11\x22\0\0\0\0\0\0\x20\0\0\0\0\0\0\0"
                        "\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                        AVB_FOOTER_SIZE);
    assert_int_equal(read_footer(partition, sizeof(partition), &read, NULL), 1);
    assert_memory_equal(&read, &footer, sizeof(footer));
}

static void without_the_magic_there_is_none(void **state)
{
    (void)state;
    static uint8_t partition[PARTITION_SIZE];
    AvbFooter read;

    assert_int_equal(read_footer(partition, sizeof(partition), &read, NULL), 0);
    avb_footer_encode(&(AvbFooter){ 0 }, partition);
    assert_int_equal(read_footer(partition, AVB_FOOTER_SIZE - 1, &read, NULL), 0);
    assert_int_equal(read_footer(partition, 0, &read, NULL), 0);
    assert_int_equal(read_footer(partition, AVB_FOOTER_SIZE, &read, NULL), 1);
}

static void places_outside_are_refused(void **state)
{
    (void)state;
    const uint64_t room = PARTITION_SIZE - AVB_FOOTER_SIZE;
    static uint8_t partition[PARTITION_SIZE];
    const struct {
        AvbFooter footer;
        const char *words; /* NULL: it is taken */
    } cases[] = {
        { { 0, 0, room }, NULL },
        { { 0, 0, room + 1 }, "16321 bytes of vbmeta at offset 0 of 16384" },
        { { 0, room, 0 }, NULL },
        { { 0, room + 1, 0 }, "at offset 16321" },
        { { 0, 1, UINT64_MAX }, "18446744073709551615 bytes" },
        { { 0, UINT64_MAX, 1 }, "at offset 18446744073709551615" },
        { { 0, INT64_MAX, INT64_MAX }, "at offset 9223372036854775807" },
        { { 4096, 4096, 1 }, NULL },
        { { 4097, 4096, 1 }, "inside the image of 4097 bytes" },
        { { UINT64_MAX, 4096, 1 }, "inside the image" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        AvbFooter read;

        avb_footer_encode(&cases[i].footer, partition + room);
        int r = read_footer(partition, sizeof(partition), &read, &error);
        assert_int_equal(r == 1, !cases[i].words);
        if (cases[i].words && !strstr(error_get_message(&error), cases[i].words))
            fail_msg("'%s' without '%s'", error_get_message(&error), cases[i].words);
    }
}

static void another_major_version_is_refused_and_a_minor_is_not(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t bytes[AVB_FOOTER_SIZE];
    AvbFooter read;

    avb_footer_encode(&(AvbFooter){ 0 }, bytes);
    put_be(bytes + 8, 4, 9);
    assert_int_equal(read_footer(bytes, sizeof(bytes), &read, NULL), 1);
    put_be(bytes + 4, 4, 2);
    assert_true(read_footer(bytes, sizeof(bytes), &read, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    assert_non_null(strstr(error_get_message(&error), "version 2.9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_footer_lies_as_the_format_has_it),
        cmocka_unit_test(without_the_magic_there_is_none),
        cmocka_unit_test(places_outside_are_refused),
        cmocka_unit_test(another_major_version_is_refused_and_a_minor_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
