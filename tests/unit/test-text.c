/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

static void well_formed_utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    /* The edges of Unicode's table 3-7. */
    static const char *const good[] = {
        "",
        "a\n\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xc2",             /* cut off */
        "\xc2\x7f",         /* no continuation */
        "\xc2\xc0",         /* no continuation */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe0\xa0",         /* cut off */
        "\xe1\x80\x7f",     /* no continuation */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf0\x90\x80",     /* cut off */
        "\xf0\x90\x80\xc0", /* no continuation */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
    };

    for (size_t i = 0; i < ELEMENTS_OF(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < ELEMENTS_OF(bad); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
    assert_false(text_is_utf8("a\0b", 3));
}

static void control_characters_are_found(void **state)
{
    (void)state;
    char text[] = "a?b";

    assert_true(text_has_no_control(""));
    for (unsigned byte = 1; byte < 256; byte++) {
        text[1] = (char)byte;
        assert_int_equal(text_has_no_control(text), byte >= 0x20 && byte != 0x7f);
    }
}

static void assert_escapes_to(const char *source, size_t size, const char *expected)
{
    char escaped[256];

    assert_int_equal(text_escape(source, size, escaped, sizeof(escaped)), strlen(expected));
    assert_string_equal(escaped, expected);
    assert_true(text_is_utf8(escaped, strlen(escaped)));
}

#define ESCAPES_TO(source, expected) assert_escapes_to(source, sizeof(source) - 1, expected)

static void harmful_bytes_become_escapes(void **state)
{
    (void)state;

    ESCAPES_TO("", "");
    ESCAPES_TO("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\n", "plain \xc3\xa4 \xe2\x82\xac "
                                                                 "\xf0\x9f\x98\x80\n");
    ESCAPES_TO("\x1b[2J\x07", "\\x1b[2J\\x07");
    ESCAPES_TO("a\0b\x7f", "a\\x00b\\x7f");
    ESCAPES_TO("back\\slash", "back\\x5cslash");
    ESCAPES_TO("\xff\xc3", "\\xff\\xc3");
    ESCAPES_TO("\xed\xa0\x80", "\\xed\\xa0\\x80");
    ESCAPES_TO("one\r\ntwo\rthree\r", "one\ntwo\\x0dthree\\x0d");
    ESCAPES_TO("\r\r\n", "\\x0d\n");
}

static void c1_controls_are_escaped_and_what_follows_them_is_not(void **state)
{
    (void)state;
    char source[] = "\xc2?", expected[] = "\\xc2\\x??";

    for (unsigned byte = 0x80; byte < 0xc0; byte++) {
        source[1] = (char)byte;
        (void)snprintf(expected, sizeof(expected), "\\xc2\\x%02x", byte);
        assert_escapes_to(source, 2, byte < 0xa0 ? expected : source);
    }
}

/* Characters of all lengths, escapes and a CRLF. */
static const char mixed[] = "a\xc3\xa4\x01\xe2\x82\xac\r\n\xf0\x9f\x98\x80\\\xff\xc2\x9bz";
static const char mixed_escaped[] = "a\xc3\xa4\\x01\xe2\x82\xac\n\xf0\x9f\x98\x80\\x5c\\xff"
                                    "\\xc2\\x9bz";

static void every_capacity_cuts_between_characters(void **state)
{
    (void)state;
    char escaped[sizeof(mixed_escaped) + 1];
    size_t longest = 0;

    for (size_t capacity = 1; capacity <= sizeof(escaped); capacity++) {
        char again[sizeof(escaped)];
        size_t taken, length = text_escape(mixed, sizeof(mixed) - 1, escaped, capacity);

        assert_int_equal(text_escape_head(mixed, sizeof(mixed) - 1, again, capacity, &taken),
                         length);
        assert_string_equal(again, escaped);
        /* What was not taken makes the rest. */
        assert_in_range(taken, 0, sizeof(mixed) - 1);
        (void)text_escape(mixed + taken, sizeof(mixed) - 1 - taken, again, sizeof(again));
        assert_string_equal(again, mixed_escaped + length);

        assert_true(length < capacity);
        assert_int_equal(strlen(escaped), length);
        assert_memory_equal(escaped, mixed_escaped, length);
        assert_true(text_is_utf8(escaped, length));
        const char *last_escape = strrchr(escaped, '\\');
        assert_true(!last_escape || strlen(last_escape) >= 4);
        assert_true(length >= longest);
        longest = length;
    }
    assert_int_equal(longest, sizeof(mixed_escaped) - 1);
}

static void every_tail_begins_at_a_character(void **state)
{
    (void)state;
    char escaped[sizeof(mixed_escaped) + 1];
    size_t whole = sizeof(mixed_escaped) - 1;

    for (size_t capacity = 1; capacity <= sizeof(escaped); capacity++) {
        size_t length = text_escape_tail(mixed, sizeof(mixed) - 1, escaped, capacity);

        assert_true(length < capacity);
        assert_true(capacity - 1 - length < 4); /* less than the longest piece is left */
        assert_int_equal(strlen(escaped), length);
        assert_string_equal(escaped, mixed_escaped + whole - length);
        assert_true(text_is_utf8(escaped, length));
    }
    assert_string_equal(escaped, mixed_escaped);
}

static void nothing_is_written_where_there_is_no_room(void **state)
{
    (void)state;
    char untouched = 'x';

    assert_int_equal(text_escape("abc", 3, &untouched, 0), 0);
    assert_int_equal(text_escape_tail("abc", 3, &untouched, 0), 0);
    assert_int_equal(untouched, 'x');
    assert_int_equal(text_escape("abc", 3, &untouched, 1), 0);
    assert_int_equal(untouched, '\0');
    untouched = 'x';
    assert_int_equal(text_escape_tail("abc", 3, &untouched, 1), 0);
    assert_int_equal(untouched, '\0');
}

static void hex_has_two_lower_case_digits_a_byte(void **state)
{
    (void)state;
    char text[9];

    text_hex((const uint8_t *)"\x00\x0f\xa0\xff", 4, text);
    assert_string_equal(text, "000fa0ff");
    text_hex(NULL, 0, text);
    assert_string_equal(text, "");
}

static void decimal_numbers_are_taken_in_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        int result;
        uint64_t value;
    } cases[] = {
        { "0", 0, 0, 0 },
        { "9", 9, 0, 9 },
        { "10", 9, -ERANGE, 0 },
        { "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
        { "18446744073709551620", UINT64_MAX, -ERANGE, 0 },
        { "99999999999999999999999", UINT64_MAX, -ERANGE, 0 },
        { "", 9, -EINVAL, 0 },
        { "00", 9, -EINVAL, 0 },
        { "01", 9, -EINVAL, 0 },
        { "+1", 9, -EINVAL, 0 },
        { "-1", 9, -EINVAL, 0 },
        { " 1", 9, -EINVAL, 0 },
        { "1 ", 9, -EINVAL, 0 },
        { "1x", 9, -EINVAL, 0 },
        { "0x1", 9, -EINVAL, 0 },
        { "1\xd9\xa1", 99, -EINVAL, 0 }, /* an Arabic digit */
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        uint64_t value = 42;

        assert_int_equal(text_parse_u64(cases[i].text, cases[i].max, &value), cases[i].result);
        assert_true(value == (cases[i].result < 0 ? 42 : cases[i].value));
    }
}

static void printable_is_what_escaping_makes(void **state)
{
    static const char foreign[] = "a\tb\x1b[31m\xc2\x9b\xff\r\nc\\";
    char escaped[128];

    (void)state;
    size_t length = text_escape(foreign, strlen(foreign), escaped, sizeof(escaped));
    assert_true(text_is_printable(escaped, length));
    assert_true(text_is_printable("\xc2\xa0 and\nmore", 9));
    assert_false(text_is_printable(foreign, strlen(foreign)));
    assert_false(text_is_printable("\xc2\x9b", 2));
    assert_false(text_is_printable("\r\n", 2));
    assert_false(text_is_printable("", 1));
}

static void hexadecimal_is_read_as_it_is_written(void **state)
{
    (void)state;
    uint8_t bytes[4] = { 7, 7, 7, 7 };
    static const char *const wrong[] = { "", "0", "0g", "g0", " 0", "0x", "-1", "00f", "00G0" };

    assert_int_equal(text_parse_hex("000fA0fF", 4, bytes), 0);
    assert_memory_equal(bytes, "\x00\x0f\xa0\xff", 4);
    assert_int_equal(text_parse_hex("12zz", 1, bytes), 0); /* only as much as is asked for */
    assert_int_equal(bytes[0], 0x12);
    assert_int_equal(text_parse_hex("", 0, bytes), 0);
    for (size_t i = 0; i < ELEMENTS_OF(wrong); i++)
        assert_int_equal(text_parse_hex(wrong[i], 2, bytes), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_is_what_escaping_makes),
        cmocka_unit_test(well_formed_utf8_is_told_from_other_bytes),
        cmocka_unit_test(control_characters_are_found),
        cmocka_unit_test(harmful_bytes_become_escapes),
        cmocka_unit_test(c1_controls_are_escaped_and_what_follows_them_is_not),
        cmocka_unit_test(every_capacity_cuts_between_characters),
        cmocka_unit_test(every_tail_begins_at_a_character),
        cmocka_unit_test(nothing_is_written_where_there_is_no_room),
        cmocka_unit_test(hex_has_two_lower_case_digits_a_byte),
        cmocka_unit_test(decimal_numbers_are_taken_in_one_spelling),
        cmocka_unit_test(hexadecimal_is_read_as_it_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
