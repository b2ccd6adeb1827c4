/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <errno.h>
#include <string.h>

#include "common/ckd.h"

/* Length of the valid UTF-8 sequence at @bytes, 0 if there is none. Source: Unicode, table 3-7. */
static size_t utf8_sequence_length(const uint8_t *bytes, size_t size)
{
    uint8_t first = bytes[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t length;

    if (first < 0x80)
        return first == 0 ? 0 : 1;
    if (first >= 0xc2 && first <= 0xdf)
        length = 2;
    else if (first >= 0xe0 && first <= 0xef)
        length = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        length = 4;
    else
        return 0;

    if (size < length)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

bool text_is_utf8(const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;

    for (size_t i = 0; i < size;) {
        size_t length = utf8_sequence_length(bytes + i, size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/* U+0080 to U+009F drive terminals as C0 controls do. */
static bool is_c1_control(const uint8_t *sequence, size_t length)
{
    return length == 2 && sequence[0] == 0xc2 && sequence[1] < 0xa0;
}

bool text_is_printable(const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;

    for (size_t i = 0; i < size;) {
        size_t length = utf8_sequence_length(bytes + i, size - i);

        if (length == 0 || (is_control(bytes[i]) && bytes[i] != '\n') ||
            is_c1_control(bytes + i, length))
            return false;
        i += length;
    }
    return true;
}

bool text_has_no_control(const char *text)
{
    for (; *text; text++) {
        if (is_control((uint8_t)*text))
            return false;
    }
    return true;
}

/* Escapes the character at @bytes into @piece (NUL-free, at most 4 bytes). Returns how many source
 * bytes it took. */
static size_t escape_one(const uint8_t *bytes,
                         size_t size,
                         char piece[static 4],
                         size_t *ret_length)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = utf8_sequence_length(bytes, size);

    if (bytes[0] == '\r' && size > 1 && bytes[1] == '\n') {
        *ret_length = 0;
        return 1;
    }
    if (length > 0 && !is_c1_control(bytes, length) && bytes[0] != '\\' &&
        (!is_control(bytes[0]) || bytes[0] == '\n')) {
        memcpy(piece, bytes, length);
        *ret_length = length;
        return length;
    }
    piece[0] = '\\';
    piece[1] = 'x';
    piece[2] = digits[bytes[0] >> 4];
    piece[3] = digits[bytes[0] & 0xf];
    *ret_length = 4;
    return 1;
}

size_t text_escape_head(
    const char *source, size_t size, char *destination, size_t capacity, size_t *ret_taken)
{
    const uint8_t *bytes = (const uint8_t *)source;
    size_t length = 0, taken = 0;

    *ret_taken = 0;
    if (capacity == 0)
        return 0;
    while (taken < size) {
        char piece[4];
        size_t piece_length;

        size_t n = escape_one(bytes + taken, size - taken, piece, &piece_length);
        if (piece_length >= capacity - length)
            break;
        memcpy(destination + length, piece, piece_length);
        length += piece_length;
        taken += n;
    }
    destination[length] = '\0';
    *ret_taken = taken;
    return length;
}

size_t text_escape(const char *source, size_t size, char *destination, size_t capacity)
{
    size_t taken;

    return text_escape_head(source, size, destination, capacity, &taken);
}

size_t text_escape_tail(const char *source, size_t size, char *destination, size_t capacity)
{
    const uint8_t *bytes = (const uint8_t *)source;
    size_t total = 0, start = 0;
    char piece[4];
    size_t piece_length;

    if (capacity == 0)
        return 0;
    for (size_t i = 0; i < size; total += piece_length)
        i += escape_one(bytes + i, size - i, piece, &piece_length);
    while (total >= capacity) {
        start += escape_one(bytes + start, size - start, piece, &piece_length);
        total -= piece_length;
    }
    return text_escape(source + start, size - start, destination, capacity);
}

void text_hex(const uint8_t *bytes, size_t size, char *destination)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        destination[2 * i] = digits[bytes[i] >> 4];
        destination[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    destination[2 * size] = '\0';
}

static int hex_digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

int text_parse_hex(const char *text, size_t size, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit_value(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit_value(text[2 * i + 1]); /* never behind the end */

        if (low < 0)
            return -EINVAL;
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int text_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        if (ckd_mul(&value, value, 10U) || ckd_add(&value, value, (uint64_t)(*text - '0')))
            return -ERANGE;
    }
    if (value > max)
        return -ERANGE;

    *ret_value = value;
    return 0;
}
