/* SPDX-License-Identifier: Apache-2.0 */
#include "common/bytes.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int byte_reader_get_view(ByteReader *reader, size_t size, const uint8_t **ret_view)
{
    if (size > reader->size)
        return -EBADMSG;

    *ret_view = reader->data;
    reader->data += size;
    reader->size -= size;
    return 0;
}

int byte_reader_get_bytes(ByteReader *reader, void *destination, size_t size)
{
    const uint8_t *view;

    int r = byte_reader_get_view(reader, size, &view);
    if (r < 0)
        return r;

    if (size > 0)
        memcpy(destination, view, size);
    return 0;
}

int byte_reader_get_u8(ByteReader *reader, uint8_t *ret_value)
{
    return byte_reader_get_bytes(reader, ret_value, sizeof(*ret_value));
}

int byte_reader_get_le16(ByteReader *reader, uint16_t *ret_value)
{
    uint16_t value;

    int r = byte_reader_get_bytes(reader, &value, sizeof(value));
    if (r < 0)
        return r;

    *ret_value = le16toh(value);
    return 0;
}

int byte_reader_get_le32(ByteReader *reader, uint32_t *ret_value)
{
    uint32_t value;

    int r = byte_reader_get_bytes(reader, &value, sizeof(value));
    if (r < 0)
        return r;

    *ret_value = le32toh(value);
    return 0;
}

int byte_reader_get_le64(ByteReader *reader, uint64_t *ret_value)
{
    uint64_t value;

    int r = byte_reader_get_bytes(reader, &value, sizeof(value));
    if (r < 0)
        return r;

    *ret_value = le64toh(value);
    return 0;
}

int byte_reader_get_be32(ByteReader *reader, uint32_t *ret_value)
{
    uint32_t value;

    int r = byte_reader_get_bytes(reader, &value, sizeof(value));
    if (r < 0)
        return r;

    *ret_value = be32toh(value);
    return 0;
}

int byte_reader_get_be64(ByteReader *reader, uint64_t *ret_value)
{
    uint64_t value;

    int r = byte_reader_get_bytes(reader, &value, sizeof(value));
    if (r < 0)
        return r;

    *ret_value = be64toh(value);
    return 0;
}

/* Room for @size more bytes, or NULL when the writer is, or hereby becomes, truncated. */
static uint8_t *byte_writer_extend(ByteWriter *writer, size_t size)
{
    if (writer->truncated || size > writer->capacity - writer->size) {
        writer->truncated = 1;
        return NULL;
    }

    uint8_t *room = writer->data + writer->size;
    writer->size += size;
    return room;
}

void byte_writer_put_bytes(ByteWriter *writer, const void *bytes, size_t size)
{
    uint8_t *room = byte_writer_extend(writer, size);
    if (room && size > 0)
        memcpy(room, bytes, size);
}

void byte_writer_put_zeros(ByteWriter *writer, size_t size)
{
    uint8_t *room = byte_writer_extend(writer, size);
    if (room && size > 0)
        memset(room, 0, size);
}

void byte_writer_put_u8(ByteWriter *writer, uint8_t value)
{
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

void byte_writer_put_le16(ByteWriter *writer, uint16_t value)
{
    value = htole16(value);
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

void byte_writer_put_le32(ByteWriter *writer, uint32_t value)
{
    value = htole32(value);
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

void byte_writer_put_le64(ByteWriter *writer, uint64_t value)
{
    value = htole64(value);
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

void byte_writer_put_be32(ByteWriter *writer, uint32_t value)
{
    value = htobe32(value);
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

void byte_writer_put_be64(ByteWriter *writer, uint64_t value)
{
    value = htobe64(value);
    byte_writer_put_bytes(writer, &value, sizeof(value));
}

int byte_writer_finish(const ByteWriter *writer)
{
    return writer->truncated ? -ENOBUFS : 0;
}
