/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes integers and byte strings of a stated byte order in a bounded buffer.
 * A reader only consumes; a failed read consumes nothing. Neither owns the buffer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct ByteReader {
    const uint8_t *data;
    size_t size; /* bytes left */
} ByteReader;

static inline ByteReader byte_reader(const void *data, size_t size)
{
    return (ByteReader){ .data = data, .size = size };
}

/* Each returns -EBADMSG when fewer bytes are left than asked for. */
int byte_reader_get_u8(ByteReader *reader, uint8_t *ret_value);
int byte_reader_get_le16(ByteReader *reader, uint16_t *ret_value);
int byte_reader_get_le32(ByteReader *reader, uint32_t *ret_value);
int byte_reader_get_le64(ByteReader *reader, uint64_t *ret_value);
int byte_reader_get_be32(ByteReader *reader, uint32_t *ret_value);
int byte_reader_get_be64(ByteReader *reader, uint64_t *ret_value);

/* Copies @size bytes into @destination. */
int byte_reader_get_bytes(ByteReader *reader, void *destination, size_t size);

/* Lends @size bytes: valid as long as the buffer. */
int byte_reader_get_view(ByteReader *reader, size_t size, const uint8_t **ret_view);

typedef struct ByteWriter {
    uint8_t *data;
    size_t capacity;
    size_t size;   /* bytes written */
    int truncated; /* set once something did not fit; everything after it is dropped too */
} ByteWriter;

static inline ByteWriter byte_writer(void *data, size_t capacity)
{
    return (ByteWriter){ .data = data, .capacity = capacity };
}

void byte_writer_put_u8(ByteWriter *writer, uint8_t value);
void byte_writer_put_le16(ByteWriter *writer, uint16_t value);
void byte_writer_put_le32(ByteWriter *writer, uint32_t value);
void byte_writer_put_le64(ByteWriter *writer, uint64_t value);
void byte_writer_put_be32(ByteWriter *writer, uint32_t value);
void byte_writer_put_be64(ByteWriter *writer, uint64_t value);
void byte_writer_put_bytes(ByteWriter *writer, const void *bytes, size_t size);
void byte_writer_put_zeros(ByteWriter *writer, size_t size);

/* 0, or -ENOBUFS when anything was truncated: asked once, after the last put. */
int byte_writer_finish(const ByteWriter *writer);
