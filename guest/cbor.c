/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/cbor.h"

#include <errno.h>
#include <string.h>

#include "common/text.h"

/* The upper three bits of a head. */
typedef enum MajorType {
    MAJOR_UNSIGNED = 0,
    MAJOR_NEGATIVE = 1,
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
} MajorType;

#define MAJOR_SHIFT     5
#define ARGUMENT_MASK   0x1f
#define ARGUMENT_DIRECT 23 /* the largest that is in the head itself */
/* An argument of 1, 2, 4 or 8 bytes follows. */
#define ARGUMENT_8  24
#define ARGUMENT_64 27

static void put_head(ByteWriter *writer, MajorType major, uint64_t argument)
{
    const uint8_t type = (uint8_t)(major << MAJOR_SHIFT);
    unsigned size_log2 = 0;

    if (argument <= ARGUMENT_DIRECT) {
        byte_writer_put_u8(writer, (uint8_t)(type | argument));
        return;
    }
    while (size_log2 < 3 && argument >> (8U << size_log2) != 0)
        size_log2++;
    byte_writer_put_u8(writer, (uint8_t)(type | (ARGUMENT_8 + size_log2)));
    for (unsigned shift = 8U << size_log2; shift > 0; shift -= 8)
        byte_writer_put_u8(writer, (uint8_t)(argument >> (shift - 8)));
}

void cbor_put_uint(ByteWriter *writer, uint64_t value)
{
    put_head(writer, MAJOR_UNSIGNED, value);
}

void cbor_put_int(ByteWriter *writer, int64_t value)
{
    if (value < 0)
        put_head(writer, MAJOR_NEGATIVE, ~(uint64_t)value); /* -1 - value */
    else
        put_head(writer, MAJOR_UNSIGNED, (uint64_t)value);
}

void cbor_put_bytes(ByteWriter *writer, const void *bytes, size_t size)
{
    put_head(writer, MAJOR_BYTES, size);
    byte_writer_put_bytes(writer, bytes, size);
}

void cbor_put_text(ByteWriter *writer, const char *text)
{
    put_head(writer, MAJOR_TEXT, strlen(text));
    byte_writer_put_bytes(writer, text, strlen(text));
}

void cbor_put_array(ByteWriter *writer, size_t n_elements)
{
    put_head(writer, MAJOR_ARRAY, n_elements);
}

void cbor_put_map(ByteWriter *writer, size_t n_pairs)
{
    put_head(writer, MAJOR_MAP, n_pairs);
}

/* Only the shortest form of each number is taken. */
static int get_head(ByteReader *reader, MajorType major, uint64_t *ret_argument)
{
    uint8_t head, byte;
    uint64_t argument = 0;

    int r = byte_reader_get_u8(reader, &head);
    if (r < 0 || head >> MAJOR_SHIFT != major)
        return -EBADMSG;
    unsigned low = head & ARGUMENT_MASK;
    if (low <= ARGUMENT_DIRECT) {
        *ret_argument = low;
        return 0;
    }
    if (low > ARGUMENT_64)
        return -EBADMSG;
    unsigned size_log2 = low - ARGUMENT_8;
    for (unsigned i = 0; i < 1U << size_log2; i++) {
        if (byte_reader_get_u8(reader, &byte) < 0)
            return -EBADMSG;
        argument = argument << 8 | byte;
    }
    if (argument <= ARGUMENT_DIRECT || (size_log2 > 0 && argument >> (8U << (size_log2 - 1)) == 0))
        return -EBADMSG;
    *ret_argument = argument;
    return 0;
}

int cbor_get_uint(ByteReader *reader, uint64_t *ret_value)
{
    return get_head(reader, MAJOR_UNSIGNED, ret_value);
}

int cbor_get_bytes(ByteReader *reader, void *ret_bytes, size_t size)
{
    uint64_t n;

    int r = get_head(reader, MAJOR_BYTES, &n);
    if (r < 0 || n != size)
        return -EBADMSG;
    return byte_reader_get_bytes(reader, ret_bytes, size);
}

int cbor_get_text(ByteReader *reader, char *ret_text, size_t capacity)
{
    const uint8_t *text;
    uint64_t size;

    int r = get_head(reader, MAJOR_TEXT, &size);
    if (r < 0 || size >= capacity)
        return -EBADMSG;
    r = byte_reader_get_view(reader, (size_t)size, &text);
    if (r < 0 || !text_is_utf8((const char *)text, (size_t)size)) /* which has no NUL */
        return -EBADMSG;
    memcpy(ret_text, text, (size_t)size);
    ret_text[size] = '\0';
    return 0;
}

int cbor_get_key(ByteReader *reader, const char *expected)
{
    const uint8_t *text;
    uint64_t size;

    int r = get_head(reader, MAJOR_TEXT, &size);
    if (r < 0 || size != strlen(expected))
        return -EBADMSG;
    r = byte_reader_get_view(reader, (size_t)size, &text);
    return r < 0 || memcmp(text, expected, (size_t)size) != 0 ? -EBADMSG : 0;
}

int cbor_get_array(ByteReader *reader, size_t max, size_t *ret_n_elements)
{
    uint64_t n;

    int r = get_head(reader, MAJOR_ARRAY, &n);
    if (r < 0 || n > max)
        return -EBADMSG;
    *ret_n_elements = (size_t)n;
    return 0;
}

int cbor_get_map(ByteReader *reader, size_t n_pairs)
{
    uint64_t n;

    int r = get_head(reader, MAJOR_MAP, &n);
    return r < 0 || n != n_pairs ? -EBADMSG : 0;
}
