/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/cbor.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "tests/helpers/test.h"

#define ENCODED_MAX 64

static void assert_written(const ByteWriter *writer, const char *hex)
{
    char text[2 * ENCODED_MAX + 1];

    assert_int_equal(byte_writer_finish(writer), 0);
    text_hex(writer->data, writer->size, text);
    assert_string_equal(text, hex);
}

static size_t from_hex(const char *hex, uint8_t bytes[static ENCODED_MAX])
{
    size_t size = strlen(hex) / 2;

    assert_true(size <= ENCODED_MAX);
    assert_int_equal(text_parse_hex(hex, size, bytes), 0);
    return size;
}

/* RFC 8949, appendix A. */
static const struct {
    uint64_t value;
    const char *hex;
} unsigned_examples[] = {
    { 0, "00" },
    { 1, "01" },
    { 10, "0a" },
    { 23, "17" },
    { 24, "1818" },
    { 25, "1819" },
    { 100, "1864" },
    { 0xff, "18ff" },
    { 0x100, "190100" },
    { 1000, "1903e8" },
    { 0xffff, "19ffff" },
    { 0x10000, "1a00010000" },
    { 1000000, "1a000f4240" },
    { UINT32_MAX, "1affffffff" },
    { UINT64_C(1) << 32, "1b0000000100000000" },
    { UINT64_C(1000000000000), "1b000000e8d4a51000" },
    { UINT64_MAX, "1bffffffffffffffff" },
};

static void unsigned_integers_are_written_and_read_as_in_the_rfc(void **state)
{
    (void)state;

    for (size_t i = 0; i < ELEMENTS_OF(unsigned_examples); i++) {
        const uint64_t value = unsigned_examples[i].value;
        uint8_t bytes[ENCODED_MAX];
        uint64_t read = 1;
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));

        cbor_put_uint(&writer, value);
        assert_written(&writer, unsigned_examples[i].hex);
        ByteReader reader = byte_reader(bytes, writer.size);
        assert_int_equal(cbor_get_uint(&reader, &read), 0);
        assert_int_equal(read, value);
        assert_int_equal(reader.size, 0);
        for (size_t size = 0; size < writer.size; size++) {
            reader = byte_reader(bytes, size);
            assert_int_equal(cbor_get_uint(&reader, &read), -EBADMSG);
        }
    }
}

static void negative_integers_are_written_as_in_the_rfc(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *hex;
    } examples[] = {
        { 0, "00" },
        { 24, "1818" },
        { INT64_MAX, "1b7fffffffffffffff" },
        { -1, "20" },
        { -10, "29" },
        { -24, "37" },
        { -25, "3818" },
        { -100, "3863" },
        { -256, "38ff" },
        { -257, "390100" },
        { -1000, "3903e7" },
        { -70002, "3a00011171" }, /* a key of a DICE configuration */
        { INT64_MIN, "3b7fffffffffffffff" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(examples); i++) {
        uint8_t bytes[ENCODED_MAX];
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));

        cbor_put_int(&writer, examples[i].value);
        assert_written(&writer, examples[i].hex);
    }
}

static void strings_arrays_and_maps_are_written_as_in_the_rfc(void **state)
{
    (void)state;
    static const uint8_t four[] = { 1, 2, 3, 4 };
    uint8_t bytes[ENCODED_MAX];

    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    cbor_put_bytes(&writer, NULL, 0);
    cbor_put_bytes(&writer, four, sizeof(four));
    assert_written(&writer, "404401020304");

    writer = byte_writer(bytes, sizeof(bytes));
    cbor_put_text(&writer, "");
    cbor_put_text(&writer, "IETF");
    cbor_put_text(&writer, "\"\\");
    cbor_put_text(&writer, "\xc3\xbc");
    cbor_put_text(&writer, "\xf0\x90\x85\x91");
    assert_written(&writer, "606449455446"
                            "62225c"
                            "62c3bc"
                            "64f0908591");

    writer = byte_writer(bytes, sizeof(bytes)); /* [1, 2, 3], [] */
    cbor_put_array(&writer, 3);
    for (unsigned i = 1; i <= 3; i++)
        cbor_put_uint(&writer, i);
    cbor_put_array(&writer, 0);
    assert_written(&writer, "8301020380");

    writer = byte_writer(bytes, sizeof(bytes)); /* {"a": 1, "b": [2, 3]} */
    cbor_put_map(&writer, 2);
    cbor_put_text(&writer, "a");
    cbor_put_uint(&writer, 1);
    cbor_put_text(&writer, "b");
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, 2);
    cbor_put_uint(&writer, 3);
    assert_written(&writer, "a26161016162820203");

    writer = byte_writer(bytes, sizeof(bytes)); /* a head of two bytes */
    cbor_put_array(&writer, 25);
    assert_written(&writer, "9819");
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    uint8_t bytes[8];

    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    cbor_put_uint(&writer, UINT64_MAX);
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
    writer = byte_writer(bytes, sizeof(bytes));
    cbor_put_text(&writer, "seven by");
    assert_int_equal(byte_writer_finish(&writer), -ENOBUFS);
    writer = byte_writer(bytes, sizeof(bytes));
    cbor_put_text(&writer, "seven b");
    assert_int_equal(byte_writer_finish(&writer), 0);
}

static int read_uint(const char *hex)
{
    uint8_t bytes[ENCODED_MAX];
    ByteReader reader = byte_reader(bytes, from_hex(hex, bytes));
    uint64_t value;

    return cbor_get_uint(&reader, &value);
}

/* RFC 8949, 4.2.1. */
static void numbers_have_their_shortest_form_only(void **state)
{
    (void)state;
    static const char *const longer[] = {
        "1800",
        "1817",
        "190000",
        "190017",
        "190018",
        "1900ff",
        "1a00000000",
        "1a00000018",
        "1a000000ff",
        "1a00000100",
        "1a0000ffff",
        "1b0000000000000000",
        "1b0000000000000017",
        "1b00000000000000ff",
        "1b000000000000ffff",
        "1b00000000ffffffff",
    };
    uint8_t bytes[ENCODED_MAX];
    char text[ENCODED_MAX];
    size_t n;

    for (size_t i = 0; i < ELEMENTS_OF(longer); i++)
        assert_int_equal(read_uint(longer[i]), -EBADMSG);
    ByteReader reader = byte_reader(bytes, from_hex("780161", bytes)); /* and of sizes */
    assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), -EBADMSG);
    reader = byte_reader(bytes, from_hex("780161", bytes));
    assert_int_equal(cbor_get_key(&reader, "a"), -EBADMSG);
    reader = byte_reader(bytes, from_hex("580161", bytes));
    assert_int_equal(cbor_get_bytes(&reader, text, 1), -EBADMSG);
    reader = byte_reader(bytes, from_hex("9801", bytes));
    assert_int_equal(cbor_get_array(&reader, 10, &n), -EBADMSG);
    reader = byte_reader(bytes, from_hex("b801", bytes));
    assert_int_equal(cbor_get_map(&reader, 1), -EBADMSG);
}

static void there_are_no_indefinite_lengths_and_no_other_types(void **state)
{
    (void)state;
    char text[ENCODED_MAX];
    size_t n;

    for (unsigned head = 0; head <= UINT8_MAX; head++) {
        const uint8_t bytes[ENCODED_MAX] = { (uint8_t)head, 0xff, 0xff, 0xff, 0xff,
                                             0xff,          0xff, 0xff, 0xff };
        const unsigned type = head >> 5, low = head & 0x1f;
        uint64_t value;

        ByteReader reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_uint(&reader, &value), type == 0 && low < 28 ? 0 : -EBADMSG);
        reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_bytes(&reader, text, 3), head == 0x43 ? 0 : -EBADMSG);
        reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), head == 0x60 ? 0 : -EBADMSG);
        reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_key(&reader, ""), head == 0x60 ? 0 : -EBADMSG);
        reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_array(&reader, 23, &n), type == 4 && low < 24 ? 0 : -EBADMSG);
        reader = byte_reader(bytes, sizeof(bytes));
        assert_int_equal(cbor_get_map(&reader, 5), head == 0xa5 ? 0 : -EBADMSG);
    }
}

static void strings_have_their_size_and_are_inside(void **state)
{
    (void)state;
    uint8_t bytes[ENCODED_MAX], four[4];
    char text[5];

    ByteReader reader = byte_reader(bytes, from_hex("4401020304", bytes));
    assert_int_equal(cbor_get_bytes(&reader, four, 4), 0);
    assert_memory_equal(four, ((uint8_t[]){ 1, 2, 3, 4 }), 4);
    reader = byte_reader(bytes, 5);
    assert_int_equal(cbor_get_bytes(&reader, four, 3), -EBADMSG);
    reader = byte_reader(bytes, 4);
    assert_int_equal(cbor_get_bytes(&reader, four, 4), -EBADMSG);

    reader = byte_reader(bytes, from_hex("6449455446", bytes));
    assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), 0); /* with the NUL */
    assert_string_equal(text, "IETF");
    reader = byte_reader(bytes, 5);
    assert_int_equal(cbor_get_text(&reader, text, sizeof(text) - 1), -EBADMSG);
    reader = byte_reader(bytes, 4);
    assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), -EBADMSG);
    reader = byte_reader(bytes, from_hex("7bffffffffffffffff", bytes));
    assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), -EBADMSG);
    reader = byte_reader(bytes, from_hex("5bffffffffffffffff", bytes));
    assert_int_equal(cbor_get_bytes(&reader, text, sizeof(text)), -EBADMSG);
}

static void text_is_utf_8_without_nul(void **state)
{
    (void)state;
    static const char *const wrong[] = { "6100", "62c328", "61ff", "63eda080" };
    uint8_t bytes[ENCODED_MAX];
    char text[8] = "before";

    for (size_t i = 0; i < ELEMENTS_OF(wrong); i++) {
        ByteReader reader = byte_reader(bytes, from_hex(wrong[i], bytes));
        assert_int_equal(cbor_get_text(&reader, text, sizeof(text)), -EBADMSG);
        assert_string_equal(text, "before");
    }
}

static void a_key_is_the_expected_one(void **state)
{
    (void)state;
    uint8_t bytes[ENCODED_MAX];
    size_t size = from_hex("6449455446", bytes);

    ByteReader reader = byte_reader(bytes, size);
    assert_int_equal(cbor_get_key(&reader, "IETF"), 0);
    assert_int_equal(reader.size, 0);
    static const char *const others[] = { "IETG", "IET", "IETFF", "" };
    for (size_t i = 0; i < ELEMENTS_OF(others); i++) {
        reader = byte_reader(bytes, size);
        assert_int_equal(cbor_get_key(&reader, others[i]), -EBADMSG);
    }
    reader = byte_reader(bytes, size - 1);
    assert_int_equal(cbor_get_key(&reader, "IETF"), -EBADMSG);
}

static void arrays_have_a_maximum_and_maps_their_size(void **state)
{
    (void)state;
    uint8_t bytes[ENCODED_MAX];
    size_t n = 0;

    ByteReader reader = byte_reader(bytes, from_hex("9819", bytes));
    assert_int_equal(cbor_get_array(&reader, 25, &n), 0);
    assert_int_equal(n, 25);
    reader = byte_reader(bytes, 2);
    assert_int_equal(cbor_get_array(&reader, 24, &n), -EBADMSG);
    reader = byte_reader(bytes, from_hex("9bffffffffffffffff", bytes));
    assert_int_equal(cbor_get_array(&reader, 25, &n), -EBADMSG);
    reader = byte_reader(bytes, from_hex("a2", bytes));
    assert_int_equal(cbor_get_map(&reader, 2), 0);
    reader = byte_reader(bytes, 1);
    assert_int_equal(cbor_get_map(&reader, 1), -EBADMSG);
    reader = byte_reader(bytes, 1);
    assert_int_equal(cbor_get_map(&reader, 3), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_integers_are_written_and_read_as_in_the_rfc),
        cmocka_unit_test(negative_integers_are_written_as_in_the_rfc),
        cmocka_unit_test(strings_arrays_and_maps_are_written_as_in_the_rfc),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(numbers_have_their_shortest_form_only),
        cmocka_unit_test(there_are_no_indefinite_lengths_and_no_other_types),
        cmocka_unit_test(strings_have_their_size_and_are_inside),
        cmocka_unit_test(text_is_utf_8_without_nul),
        cmocka_unit_test(a_key_is_the_expected_one),
        cmocka_unit_test(arrays_have_a_maximum_and_maps_their_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
