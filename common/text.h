/* SPDX-License-Identifier: Apache-2.0 */
/* Text of foreign origin: checked, escaped, bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for valid UTF-8 without NUL, surrogates and overlong forms. */
bool text_is_utf8(const char *text, size_t size);

/* True for what text_escape() could have made: valid UTF-8 with no control character but newline.
 */
bool text_is_printable(const char *text, size_t size);

/* True when no byte is a C0 control or DEL. */
bool text_has_no_control(const char *text);

/* Writes @size foreign bytes into @destination as printable text: valid UTF-8 and newline stay, a
 * carriage return before a newline goes, anything else, the backslash too, becomes \xNN.
 * NUL-terminated; what does not fit @capacity is left out, never half a character or escape.
 * Returns the length. */
size_t text_escape(const char *source, size_t size, char *destination, size_t capacity);

/* The same, and in @ret_taken how many of the @size bytes are in it. */
size_t text_escape_head(
    const char *source, size_t size, char *destination, size_t capacity, size_t *ret_taken);

/* The tail of @source that, escaped, fits @capacity, put into @destination. Returns the length. */
size_t text_escape_tail(const char *source, size_t size, char *destination, size_t capacity);

/* @destination has room for 2 * @size + 1 characters. */
void text_hex(const uint8_t *bytes, size_t size, char *destination);

/* The bytes that the first 2 * @size characters of @text are in hexadecimal, of either case.
 * -EINVAL when one of them is no digit, and nothing behind it is read. */
int text_parse_hex(const char *text, size_t size, uint8_t *ret_bytes);

/* Parses all of @text as a decimal number without sign, space or leading zero (but "0" itself).
 * -EINVAL for anything else, -ERANGE above @max. */
int text_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);
