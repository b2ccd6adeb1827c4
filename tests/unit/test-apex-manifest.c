/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apex-manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/helpers/test.h"

/* A message field by field. Source: protobuf.dev, "Encoding". */
static void put_varint(ByteWriter *writer, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        byte_writer_put_u8(writer, (uint8_t)(value | 0x80));
    byte_writer_put_u8(writer, (uint8_t)value);
}

static void put_number(ByteWriter *writer, uint32_t field, uint64_t value)
{
    put_varint(writer, (uint64_t)field << 3);
    put_varint(writer, value);
}

static void put_bytes(ByteWriter *writer, uint32_t field, const void *bytes, size_t size)
{
    put_varint(writer, (uint64_t)field << 3 | 2);
    put_varint(writer, size);
    byte_writer_put_bytes(writer, bytes, size);
}

typedef struct Made {
    uint8_t bytes[1024];
    ByteWriter writer;
} Made;

static void begin(Made *made)
{
    made->writer = byte_writer(made->bytes, sizeof(made->bytes));
}

static void make(Made *made, const char *name, uint64_t version)
{
    begin(made);
    put_bytes(&made->writer, 1, name, strlen(name));
    put_number(&made->writer, 2, version);
}

static int decode(const uint8_t *data, size_t size, ApexManifest *ret_manifest, Error *error)
{
    /* Of its size exactly, so that the sanitizer sees a read beyond it. */
    _cleanup_free_ uint8_t *copy = malloc(size + (size == 0));

    assert_non_null(copy);
    memcpy(copy, data, size);
    return apex_manifest_decode(copy, size, ret_manifest, error);
}

static void assert_refused(const Made *made, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApexManifest manifest = { .version = 77 };

    assert_int_equal(byte_writer_finish(&made->writer), 0);
    assert_int_equal(decode(made->bytes, made->writer.size, &manifest, &error), -EBADMSG);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
    assert_int_equal(manifest.version, 77);
}

static void assert_decodes(const Made *made, const char *name, uint64_t version)
{
    ApexManifest manifest;

    assert_int_equal(byte_writer_finish(&made->writer), 0);
    assert_int_equal(decode(made->bytes, made->writer.size, &manifest, NULL), 0);
    assert_string_equal(manifest.name, name);
    assert_int_equal(manifest.version, version);
}

static void name_and_version_are_read(void **state)
{
    static const char *const names[] = { "a", "com.android.art", "A-b_c.9", "0" };
    static const uint64_t versions[] = { 1, 127, 128, UINT32_MAX, INT64_MAX };
    char longest[APEX_NAME_MAX + 1];
    Made made;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        for (size_t j = 0; j < ELEMENTS_OF(versions); j++) {
            make(&made, names[i], versions[j]);
            assert_decodes(&made, names[i], versions[j]);
        }
    }
    memset(longest, 'n', APEX_NAME_MAX);
    longest[APEX_NAME_MAX] = '\0';
    make(&made, longest, 1);
    assert_decodes(&made, longest, 1);
}

/* With what apexer writes besides: hooks, a name of the version, libraries, numbers. */
static void other_fields_are_passed_over(void **state)
{
    Made made;

    (void)state;
    make(&made, "com.android.art", 34);
    put_bytes(&made.writer, 5, "34.0", 4);
    put_number(&made.writer, 6, 1);
    put_bytes(&made.writer, 7, "libart.so", 9);
    put_bytes(&made.writer, 7, "libdexfile.so", 13);
    put_bytes(&made.writer, 12, "\n\002ab", 4);
    put_number(&made.writer, 1000, 7);
    assert_decodes(&made, "com.android.art", 34);
}

static void name_that_is_none_is_refused(void **state)
{
    static const char *const names[] = { ".",   "..",  ".hidden", "-x",       "_x",
                                         "a/b", "a b", "a\n",     "\xc3\xa4", "a:b" };
    char too_long[APEX_NAME_MAX + 2];
    Made made;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        make(&made, names[i], 1);
        assert_refused(&made, "is no name");
    }
    begin(&made);
    put_bytes(&made.writer, 1, "a\0b", 3);
    put_number(&made.writer, 2, 1);
    assert_refused(&made, "'a\\x00b' is no name");
    make(&made, "", 1);
    assert_refused(&made, "no name");
    begin(&made);
    put_number(&made.writer, 2, 1);
    assert_refused(&made, "it has no name");
    memset(too_long, 'n', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    make(&made, too_long, 1);
    assert_refused(&made, "256 bytes; at most 255");
}

static void version_begins_with_one(void **state)
{
    Made made;

    (void)state;
    make(&made, "a", 0);
    assert_refused(&made, "version 0");
    begin(&made);
    put_bytes(&made.writer, 1, "a", 1);
    assert_refused(&made, "version 0");
    make(&made, "a", UINT64_MAX);
    assert_refused(&made, "version -1");
    make(&made, "a", (uint64_t)INT64_MAX + 1);
    assert_refused(&made, "version -9223372036854775808");
}

static void what_is_no_message_is_refused(void **state)
{
    Made made;

    (void)state;
    begin(&made);
    assert_refused(&made, "no name"); /* no bytes are a message */
    make(&made, "name", 300);
    for (size_t size = made.writer.size; --size > 0;) {
        Made cut = made;

        cut.writer.size = size;
        assert_refused(&cut, "");
    }
    begin(&made);
    put_number(&made.writer, 1, 5);
    put_number(&made.writer, 2, 1);
    assert_refused(&made, "no such message");
    begin(&made);
    put_bytes(&made.writer, 1, "a", 1);
    put_bytes(&made.writer, 2, "1", 1);
    assert_refused(&made, "no such message");
}

static void size_has_a_maximum(void **state)
{
    _cleanup_free_ uint8_t *bytes = calloc(1, APEX_MANIFEST_MAX + 1);
    ByteWriter writer = byte_writer(bytes, APEX_MANIFEST_MAX + 1);
    ApexManifest manifest;

    (void)state;
    assert_non_null(bytes);
    put_bytes(&writer, 1, "a", 1);
    put_number(&writer, 2, 1);
    put_varint(&writer, 7 << 3 | 2); /* a text that is all the rest, behind its size of 3 bytes */
    put_varint(&writer, APEX_MANIFEST_MAX - writer.size - 3);
    assert_int_equal(decode(bytes, APEX_MANIFEST_MAX, &manifest, NULL), 0);
    assert_int_equal(decode(bytes, APEX_MANIFEST_MAX + 1, &manifest, NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_version_are_read),
        cmocka_unit_test(other_fields_are_passed_over),
        cmocka_unit_test(name_that_is_none_is_refused),
        cmocka_unit_test(version_begins_with_one),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(size_has_a_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
