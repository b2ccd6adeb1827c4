/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-signing-block.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define BEFORE 100 /* bytes before the block */

/* A file with a block and nothing behind it. */
typedef struct Fixture {
    uint8_t *data;
    size_t size;
    ZipSections sections;
} Fixture;

static Fixture make(const void *value, size_t value_size)
{
    _cleanup_free_ uint8_t *block = NULL;
    Fixture fixture;
    size_t size;

    assert_int_equal(apk_signing_block_make(APK_BLOCK_V3, value, value_size, &block, &size), 0);
    fixture.size = BEFORE + size;
    fixture.data = calloc(1, fixture.size);
    assert_non_null(fixture.data);
    memcpy(fixture.data + BEFORE, block, size);
    fixture.sections = (ZipSections){ .directory_offset = fixture.size };
    return fixture;
}

static void fixture_free(Fixture *fixture)
{
    free(fixture->data);
}

static int read_block(const Fixture *fixture, ApkSigningBlock *ret_block, Error *error)
{
    ByteSource source = byte_source_from_memory(fixture->data, fixture->size);

    return apk_signing_block_read(&source, &fixture->sections, ret_block, error);
}

static void assert_refused(const Fixture *fixture, const char *words)
{
    _cleanup_(apk_signing_block_deinit) ApkSigningBlock block = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(read_block(fixture, &block, &error), -EBADMSG);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void put_le64(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static void a_value_is_found_in_what_was_made(void **state)
{
    _cleanup_(fixture_free) Fixture fixture = make("value", 5);
    _cleanup_(apk_signing_block_deinit) ApkSigningBlock block = { 0 };
    ByteReader value = { 0 };

    (void)state;
    assert_int_equal(read_block(&fixture, &block, NULL), 1);
    assert_int_equal(block.offset, BEFORE);
    assert_int_equal(apk_signing_block_find(&block, APK_BLOCK_V3, &value, NULL), 1);
    assert_int_equal(value.size, 5);
    assert_memory_equal(value.data, "value", 5);
    assert_int_equal(apk_signing_block_find(&block, APK_BLOCK_V2, &value, NULL), 0);
    assert_int_equal(apk_signing_block_find(&block, APK_BLOCK_PADDING, &value, NULL), 1);
}

static void blocks_fill_whole_pages_whatever_is_in_them(void **state)
{
    static const uint8_t value[3 * 4096];

    (void)state;
    for (size_t size = 0; size <= sizeof(value); size++) {
        _cleanup_free_ uint8_t *block = NULL;
        size_t whole;

        assert_int_equal(apk_signing_block_make(APK_BLOCK_V3, value, size, &block, &whole), 0);
        assert_int_equal(whole % 4096, 0);
        assert_in_range(whole, size, size + 2 * 4096);
    }
}

static void a_file_without_the_magic_has_no_block(void **state)
{
    _cleanup_(fixture_free) Fixture fixture = make("value", 5);
    ApkSigningBlock block = { 0 };

    (void)state;
    for (size_t i = 1; i <= 16; i++) {
        fixture.data[fixture.size - i] ^= 1;
        assert_int_equal(read_block(&fixture, &block, NULL), 0);
        fixture.data[fixture.size - i] ^= 1;
    }
    for (size_t offset = 0; offset < 24; offset++) {
        fixture.sections.directory_offset = offset;
        assert_int_equal(read_block(&fixture, &block, NULL), 0);
    }
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    static const struct {
        uint64_t size;
        const char *words;
    } cases[] = {
        { 23, "has 23 bytes; taken are 24 to 8388608" },
        { 24, "has two sizes, 0 and 24 bytes" },
        { 5000, "of 5000 bytes begins before the file" },
        { APK_SIGNING_BLOCK_MAX, "of 8388608 bytes begins before the file" },
        { APK_SIGNING_BLOCK_MAX + 1, "has 8388609 bytes; taken are" },
        { UINT32_MAX, "has 4294967295 bytes; taken are" },
        { INT64_MAX, "has 9223372036854775807 bytes; taken are" },
        { UINT64_MAX, "has 18446744073709551615 bytes; taken are" },
        { UINT64_MAX - 7, "bytes; taken are" },
    };
    _cleanup_(fixture_free) Fixture fixture = make("value", 5);

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        put_le64(fixture.data + fixture.size - 24, cases[i].size);
        assert_refused(&fixture, cases[i].words);
    }
    put_le64(fixture.data + fixture.size - 24, 4096 - 8);
    put_le64(fixture.data + BEFORE, 4096 - 9);
    assert_refused(&fixture, "has two sizes, 4087 and 4088 bytes");
}

static void the_largest_block_is_taken(void **state)
{
    Fixture fixture = { .size = APK_SIGNING_BLOCK_MAX + 8 };
    _cleanup_(apk_signing_block_deinit) ApkSigningBlock block = { 0 };

    (void)state;
    fixture.data = calloc(1, fixture.size);
    assert_non_null(fixture.data);
    fixture.sections.directory_offset = fixture.size;
    put_le64(fixture.data, APK_SIGNING_BLOCK_MAX);
    put_le64(fixture.data + fixture.size - 24, APK_SIGNING_BLOCK_MAX);
    memcpy(fixture.data + fixture.size - 16, "APK Sig Block 42", 16);
    assert_int_equal(read_block(&fixture, &block, NULL), 1);
    assert_int_equal(block.size, APK_SIGNING_BLOCK_MAX - 24);
    fixture_free(&fixture);
}

/* Pairs of 8 bytes of size, 4 of id, and the rest. */
static int find(const void *pairs, size_t size, ByteReader *ret_value, Error *error)
{
    const ApkSigningBlock block = { .bytes = (uint8_t *)(uintptr_t)pairs, .size = size };

    return apk_signing_block_find(&block, APK_BLOCK_V3, ret_value, error);
}

#define V3_ID "\xc0\x68\x53\xf0"

static void values_are_told_apart_by_their_numbers(void **state)
{
    static const char pairs[] = "\6\0\0\0\0\0\0\0\x61\xad\x93\x1b!!"
                                "\4\0\0\0\0\0\0\0" V3_ID "\5\0\0\0\0\0\0\0\x1a\x87\x09\x71!";
    ByteReader value = { .size = 77 };

    (void)state;
    assert_int_equal(find(pairs, sizeof(pairs) - 1, &value, NULL), 1);
    assert_int_equal(value.size, 0);
    assert_int_equal(find(pairs, 14, &value, NULL), 0);
    assert_int_equal(find(pairs, 0, &value, NULL), 0);
}

static void a_value_twice_is_refused(void **state)
{
    static const char pairs[] = "\4\0\0\0\0\0\0\0" V3_ID "\4\0\0\0\0\0\0\0" V3_ID;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteReader value;

    (void)state;
    assert_int_equal(find(pairs, sizeof(pairs) - 1, &value, &error), -EBADMSG);
    assert_string_equal(error_get_message(&error),
                        "the APK signing block has the value 0xf05368c0 2 times");
}

static void values_that_end_outside_are_refused_wherever_they_stand(void **state)
{
    static const struct {
        const char *pairs;
        size_t size;
    } cases[] = {
        { "\4\0\0\0\0\0\0\0" V3_ID, 11 },
        { "\4\0\0\0\0\0\0\0", 8 },
        { "\4\0\0\0", 4 },
        { "\3\0\0\0\0\0\0\0" V3_ID, 12 },
        { "\0\0\0\0\0\0\0\0" V3_ID, 12 },
        { "\5\0\0\0\0\0\0\0" V3_ID, 12 },
        { "\4\0\0\0\1\0\0\0" V3_ID, 12 },
        { "\4\0\0\0\0\0\0\x80" V3_ID, 12 },
        { "\xff\xff\xff\xff\xff\xff\xff\xff" V3_ID, 12 },
        { "\4\0\0\0\0\0\0\0" V3_ID "\0", 13 },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        ByteReader value;

        assert_int_equal(find(cases[i].pairs, cases[i].size, &value, &error), -EBADMSG);
        assert_non_null(strstr(error_get_message(&error), "ends outside it"));
    }
}

static void a_value_that_is_too_large_is_not_made(void **state)
{
    _cleanup_free_ uint8_t *block = NULL, *value = calloc(1, APK_SIGNING_BLOCK_MAX / 2 + 1);
    size_t size;

    (void)state;
    assert_non_null(value);
    assert_int_equal(
        apk_signing_block_make(APK_BLOCK_V3, value, APK_SIGNING_BLOCK_MAX / 2, &block, &size), 0);
    assert_in_range(size, 1, APK_SIGNING_BLOCK_MAX);
    free(TAKE_PTR(block));
    assert_int_equal(
        apk_signing_block_make(APK_BLOCK_V3, value, APK_SIGNING_BLOCK_MAX / 2 + 1, &block, &size),
        -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_found_in_what_was_made),
        cmocka_unit_test(blocks_fill_whole_pages_whatever_is_in_them),
        cmocka_unit_test(a_file_without_the_magic_has_no_block),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(the_largest_block_is_taken),
        cmocka_unit_test(values_are_told_apart_by_their_numbers),
        cmocka_unit_test(a_value_twice_is_refused),
        cmocka_unit_test(values_that_end_outside_are_refused_wherever_they_stand),
        cmocka_unit_test(a_value_that_is_too_large_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
