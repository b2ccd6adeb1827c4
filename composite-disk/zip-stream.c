/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-stream.h"

#include <stdbool.h>
#include <zlib.h>

#define INPUT_SIZE (16U << 10)
#define PIECE_MAX  (1U << 30) /* zlib counts with 32 bits */
#define RAW_WINDOW (-MAX_WBITS)

struct ZipStream {
    const ZipReader *reader;
    const ZipEntry *entry;
    uint64_t read, given; /* of the compressed bytes; of the others */
    uint32_t checksum;
    bool failed, checked;
    bool inflating, ended;
    z_stream zlib;
    uint8_t input[INPUT_SIZE];
};

int zip_stream_new(const ZipReader *reader,
                   const ZipEntry *entry,
                   ZipStream **ret_stream,
                   Error *error)
{
    _cleanup_(zip_stream_freep) ZipStream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    stream->reader = reader;
    stream->entry = entry;
    if (entry->method == ZIP_DEFLATED) {
        if (inflateInit2(&stream->zlib, RAW_WINDOW) != Z_OK)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        stream->inflating = true;
    }
    *ret_stream = TAKE_PTR(stream);
    return 0;
}

ZipStream *zip_stream_free(ZipStream *stream)
{
    if (!stream)
        return NULL;
    if (stream->inflating)
        (void)inflateEnd(&stream->zlib); /* fails only for what is no stream */
    free(stream);
    return NULL;
}

static int refuse(const ZipStream *stream, const char *reason, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID, "zip entry '%s': %s", stream->entry->name, reason);
}

static int read_raw(ZipStream *stream, uint8_t *buffer, size_t size, Error *error)
{
    int r = byte_source_read(&stream->reader->source, stream->entry->data_offset + stream->read,
                             buffer, size);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read zip entry '%s'",
                               stream->entry->name);
    stream->read += size;
    return 0;
}

static int refill(ZipStream *stream, Error *error)
{
    uint64_t left = stream->entry->compressed_size - stream->read;
    size_t size = left < INPUT_SIZE ? (size_t)left : INPUT_SIZE;

    int r = read_raw(stream, stream->input, size, error);
    stream->zlib.next_in = stream->input;
    stream->zlib.avail_in = (uInt)size;
    return r;
}

/* Fills @buffer, or reaches the end of the deflated data before. */
static int inflate_piece(
    ZipStream *stream, uint8_t *buffer, size_t size, size_t *ret_size, Error *error)
{
    z_stream *zlib = &stream->zlib;

    zlib->next_out = buffer;
    zlib->avail_out = (uInt)size;
    while (zlib->avail_out > 0 && !stream->ended) {
        if (zlib->avail_in == 0) {
            int r = refill(stream, error);
            if (r < 0)
                return r;
        }
        if (zlib->avail_in == 0)
            return refuse(stream, "its deflated data are cut short", error);
        int z = inflate(zlib, Z_NO_FLUSH);
        if (z == Z_MEM_ERROR)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        if (z != Z_OK && z != Z_STREAM_END)
            return refuse(stream, "its deflated data are damaged", error);
        stream->ended = z == Z_STREAM_END;
    }
    *ret_size = size - zlib->avail_out;
    return 0;
}

/* All bytes are there: are they all that there are, and the right ones? */
static int check_end(ZipStream *stream, Error *error)
{
    uint8_t one_more;
    size_t size = 0;

    if (stream->inflating) {
        int r = inflate_piece(stream, &one_more, 1, &size, error);
        if (r < 0)
            return r;
    }
    if (size > 0)
        return refuse(stream, "it inflates to more than its size", error);
    if (stream->inflating &&
        (stream->zlib.avail_in > 0 || stream->read < stream->entry->compressed_size))
        return refuse(stream, "bytes behind its deflated data", error);
    if (stream->checksum != stream->entry->checksum)
        return refuse(stream, "its checksum is wrong", error);
    stream->checked = true;
    return 0;
}

static int read_piece(ZipStream *stream, uint8_t *buffer, size_t size, Error *error)
{
    size_t got = size;

    int r = stream->inflating ? inflate_piece(stream, buffer, size, &got, error)
                              : read_raw(stream, buffer, size, error);
    if (r < 0)
        return r;
    if (got < size)
        return refuse(stream, "it inflates to less than its size", error);
    stream->checksum = (uint32_t)crc32(stream->checksum, buffer, (uInt)size);
    stream->given += size;
    return 0;
}

int zip_stream_read(ZipStream *stream, void *buffer, size_t size, size_t *ret_size, Error *error)
{
    uint64_t left = stream->entry->size - stream->given;
    size_t wanted = left < size ? (size_t)left : size, done = 0;
    int r = 0;

    if (stream->failed)
        return refuse(stream, "an earlier read has failed", error);
    while (r >= 0 && done < wanted) {
        size_t piece = wanted - done < PIECE_MAX ? wanted - done : PIECE_MAX;
        r = read_piece(stream, (uint8_t *)buffer + done, piece, error);
        done += piece;
    }
    if (r >= 0 && stream->given == stream->entry->size && !stream->checked)
        r = check_end(stream, error);
    if (r < 0) {
        stream->failed = true;
        return r;
    }
    *ret_size = wanted;
    return 0;
}

int zip_read_entry(const ZipReader *reader,
                   const ZipEntry *entry,
                   size_t size_max,
                   uint8_t **ret_data,
                   size_t *ret_size,
                   Error *error)
{
    _cleanup_(zip_stream_freep) ZipStream *stream = NULL;
    _cleanup_free_ uint8_t *data = NULL;
    size_t size;

    if (entry->size > size_max)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "zip entry '%s' has %ju bytes; taken are up to %zu", entry->name,
                         (uintmax_t)entry->size, size_max);
    int r = zip_stream_new(reader, entry, &stream, error);
    if (r < 0)
        return r;
    data = malloc((size_t)entry->size + 1);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = zip_stream_read(stream, data, (size_t)entry->size, &size, error);
    if (r < 0)
        return r;
    data[size] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}
