/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-writer.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "composite-disk/zip-sections.h"

#define VERSION          20                 /* 2.0: deflated data and directories */
#define MADE_BY          (3 << 8 | VERSION) /* Unix: the attributes have a mode */
#define FLAG_UTF8        (1U << 11)
#define DATE             (1U << 5 | 1) /* 1 January 1980, the first that there is */
#define MODE_SHIFT       16
#define ALIGNMENT_ID     0xd935
#define ALIGNMENT_SIZE   6 /* id, size, the alignment */
#define ALIGNMENT_STORED 4
#define BUFFER_SIZE      (64U << 10)
#define RAW_WINDOW       (-MAX_WBITS)
#define MEMORY_LEVEL     8 /* zlib's default */
#define PERMISSIONS      07777
#define RECORDS_FIRST    (64U << 10)

struct ZipWriter {
    int fd;
    const Progress *progress;
    uint64_t content_size, content_done;
    uint64_t offset; /* bytes written */
    uint32_t n_entries;
    uint8_t *records; /* the central directory so far */
    size_t records_size, records_capacity;
    uint8_t input[BUFFER_SIZE], output[BUFFER_SIZE];
};

/* What is known of an entry once its data are written. */
typedef struct Written {
    uint32_t checksum;
    uint64_t compressed_size, size;
    uint64_t offset;
} Written;

int zip_writer_new(
    int fd, uint64_t content_size, const Progress *progress, ZipWriter **ret_writer, Error *error)
{
    ZipWriter *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    writer->fd = fd;
    writer->content_size = content_size;
    writer->progress = progress;
    *ret_writer = writer;
    return 0;
}

ZipWriter *zip_writer_free(ZipWriter *writer)
{
    if (!writer)
        return NULL;
    free(writer->records);
    free(writer);
    return NULL;
}

static int put(ZipWriter *writer, const void *data, size_t size, Error *error)
{
    int r = fd_write_all(writer->fd, data, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write the zip");
    writer->offset += size;
    return 0;
}

static bool is_directory(const ZipNewEntry *entry)
{
    return entry->name[strlen(entry->name) - 1] == '/';
}

/* The fields that a local header and a directory record share. */
static void put_header(ByteWriter *bytes,
                       const ZipNewEntry *entry,
                       const Written *written,
                       size_t extra_size)
{
    byte_writer_put_le16(bytes, VERSION);
    byte_writer_put_le16(bytes, FLAG_UTF8);
    byte_writer_put_le16(bytes, (uint16_t)entry->method);
    byte_writer_put_le16(bytes, 0);
    byte_writer_put_le16(bytes, DATE);
    byte_writer_put_le32(bytes, written->checksum);
    byte_writer_put_le32(bytes, (uint32_t)written->compressed_size);
    byte_writer_put_le32(bytes, (uint32_t)written->size);
    byte_writer_put_le16(bytes, (uint16_t)strlen(entry->name));
    byte_writer_put_le16(bytes, (uint16_t)extra_size);
}

/* --- local headers --- */

static uint32_t alignment_of(const ZipNewEntry *entry)
{
    uint32_t least = entry->method == ZIP_STORED ? ALIGNMENT_STORED : 1;

    return entry->alignment > least ? entry->alignment : least;
}

/* The bytes of an extra field that moves the data to the alignment; 0 when they are there. */
static size_t size_of_extra(const ZipWriter *writer, const ZipNewEntry *entry)
{
    uint64_t data = writer->offset + ZIP_LOCAL_SIZE + strlen(entry->name);
    uint32_t alignment = alignment_of(entry);

    if (data % alignment == 0)
        return 0;
    return ALIGNMENT_SIZE + (size_t)(-(data + ALIGNMENT_SIZE) % alignment);
}

static size_t make_local_header(const ZipNewEntry *entry,
                                const Written *written,
                                size_t extra_size,
                                uint8_t bytes[static ZIP_LOCAL_SIZE])
{
    ByteWriter header = byte_writer(bytes, ZIP_LOCAL_SIZE);

    byte_writer_put_le32(&header, ZIP_LOCAL_SIGNATURE);
    put_header(&header, entry, written, extra_size);
    assert(byte_writer_finish(&header) == 0 && header.size == ZIP_LOCAL_SIZE);
    return header.size;
}

static int put_local_header(ZipWriter *writer,
                            const ZipNewEntry *entry,
                            size_t extra_size,
                            Error *error)
{
    const Written nothing = { 0 };
    uint8_t header[ZIP_LOCAL_SIZE], extra[ALIGNMENT_SIZE + ZIP_ALIGNMENT_MAX];
    ByteWriter bytes = byte_writer(extra, sizeof(extra));

    if (extra_size > 0) {
        byte_writer_put_le16(&bytes, ALIGNMENT_ID);
        byte_writer_put_le16(&bytes, (uint16_t)(extra_size - 4));
        byte_writer_put_le16(&bytes, (uint16_t)alignment_of(entry));
        byte_writer_put_zeros(&bytes, extra_size - ALIGNMENT_SIZE);
        assert(byte_writer_finish(&bytes) == 0);
    }
    int r = put(writer, header, make_local_header(entry, &nothing, extra_size, header), error);
    if (r >= 0)
        r = put(writer, entry->name, strlen(entry->name), error);
    return r < 0 ? r : put(writer, extra, extra_size, error);
}

/* Checksum and sizes are known behind the data only, and nobody likes to read them there. */
static int correct_local_header(const ZipWriter *writer,
                                const ZipNewEntry *entry,
                                const Written *written,
                                size_t extra_size,
                                Error *error)
{
    uint8_t header[ZIP_LOCAL_SIZE];
    size_t size = make_local_header(entry, written, extra_size, header);

    ssize_t n = pwrite(writer->fd, header, size, (off_t)written->offset);
    if (n != (ssize_t)size)
        return error_set_errno(error, ERROR_FAILED, n < 0 ? errno : ENOSPC, "cannot write the zip");
    return 0;
}

/* --- data --- */

static int deflate_all(ZipWriter *writer, z_stream *zlib, int flush, Error *error)
{
    do {
        zlib->next_out = writer->output;
        zlib->avail_out = BUFFER_SIZE;
        (void)deflate(zlib, flush); /* cannot fail: the stream is good and has room */
        int r = put(writer, writer->output, BUFFER_SIZE - zlib->avail_out, error);
        if (r < 0)
            return r;
    } while (zlib->avail_out == 0);
    return 0;
}

/* @zlib: NULL to store. */
static int put_content(ZipWriter *writer,
                       const ByteSource *content,
                       z_stream *zlib,
                       const char *name,
                       Written *written,
                       Error *error)
{
    uint64_t done = 0;
    int r = 0;

    while (r >= 0 && done < content->size) {
        uint64_t left = content->size - done;
        size_t size = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;

        r = byte_source_read(content, done, writer->input, size);
        if (r < 0)
            return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot read '%s'", name);
        written->checksum = (uint32_t)crc32(written->checksum, writer->input, (uInt)size);
        if (zlib) {
            zlib->next_in = writer->input;
            zlib->avail_in = (uInt)size;
            r = deflate_all(writer, zlib, Z_NO_FLUSH, error);
        } else {
            r = put(writer, writer->input, size, error);
        }
        done += size;
        writer->content_done += size;
        progress_report(writer->progress, writer->content_done, writer->content_size);
    }
    if (r >= 0 && zlib)
        r = deflate_all(writer, zlib, Z_FINISH, error);
    return r;
}

static int put_data(ZipWriter *writer,
                    const ZipNewEntry *entry,
                    const ByteSource *content,
                    Written *written,
                    Error *error)
{
    z_stream zlib = { 0 };
    uint64_t start = writer->offset;
    bool deflated = entry->method == ZIP_DEFLATED;

    if (deflated && deflateInit2(&zlib, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW_WINDOW, MEMORY_LEVEL,
                                 Z_DEFAULT_STRATEGY) != Z_OK)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = put_content(writer, content, deflated ? &zlib : NULL, entry->name, written, error);
    if (deflated)
        (void)deflateEnd(
            &zlib); /* tells of data that were dropped: after an error there are some */
    written->size = content->size;
    written->compressed_size = writer->offset - start;
    return r;
}

/* --- the directory --- */

static int reserve(ZipWriter *writer, size_t size)
{
    size_t capacity = writer->records_capacity ? writer->records_capacity : RECORDS_FIRST;

    while (capacity < writer->records_size + size)
        capacity *= 2; /* at most twice ZIP_DIRECTORY_MAX */
    if (capacity == writer->records_capacity)
        return 0;
    uint8_t *records = realloc(writer->records, capacity);
    if (!records)
        return -ENOMEM;
    writer->records = records;
    writer->records_capacity = capacity;
    return 0;
}

static int add_record(ZipWriter *writer,
                      const ZipNewEntry *entry,
                      const Written *written,
                      Error *error)
{
    size_t name_size = strlen(entry->name), size = ZIP_DIRECTORY_SIZE + name_size;
    uint32_t type = is_directory(entry) ? S_IFDIR : S_IFREG;

    if (reserve(writer, size) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    ByteWriter bytes = byte_writer(writer->records + writer->records_size, size);
    byte_writer_put_le32(&bytes, ZIP_DIRECTORY_SIGNATURE);
    byte_writer_put_le16(&bytes, MADE_BY);
    put_header(&bytes, entry, written, 0);
    byte_writer_put_zeros(&bytes, 6); /* no comment, first volume, no internal attributes */
    byte_writer_put_le32(&bytes, (type | (entry->mode & PERMISSIONS)) << MODE_SHIFT);
    byte_writer_put_le32(&bytes, (uint32_t)written->offset);
    byte_writer_put_bytes(&bytes, entry->name, name_size);
    assert(byte_writer_finish(&bytes) == 0 && bytes.size == size);
    writer->records_size += size;
    writer->n_entries++;
    return 0;
}

/* --- */

static int check_entry(const ZipWriter *writer,
                       const ZipNewEntry *entry,
                       const ByteSource *content,
                       Error *error)
{
    const char *reason = NULL;

    assert(entry->method == ZIP_STORED || entry->method == ZIP_DEFLATED);
    assert(entry->alignment <= ZIP_ALIGNMENT_MAX &&
           (entry->alignment & (entry->alignment - 1)) == 0);
    if (zip_check_name(entry->name, strlen(entry->name), &reason) < 0)
        return error_set(error, ERROR_INVALID_FILE, "'%s' cannot be in a zip: %s", entry->name,
                         reason);
    if (content->size >= ZIP64_MARK)
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s' has %ju bytes; in a zip a file has less than 4 GiB", entry->name,
                         (uintmax_t)content->size);
    assert(!is_directory(entry) || content->size == 0);
    if (writer->n_entries == ZIP_ENTRIES_MAX)
        return error_set(error, ERROR_INVALID_FILE, "'%s' is one more than the %d that a zip has",
                         entry->name, ZIP_ENTRIES_MAX);
    if (writer->records_size + ZIP_DIRECTORY_SIZE + strlen(entry->name) > ZIP_DIRECTORY_MAX)
        return error_set(error, ERROR_INVALID_FILE,
                         "with '%s' the zip's central directory has more than %u bytes",
                         entry->name, ZIP_DIRECTORY_MAX);
    return 0;
}

static int check_offset(const ZipWriter *writer, Error *error)
{
    if (writer->offset >= ZIP64_MARK)
        return error_set(error, ERROR_INVALID_FILE, "the zip has 4 GiB or more");
    return 0;
}

int zip_writer_add(ZipWriter *writer,
                   const ZipNewEntry *entry,
                   const ByteSource *content,
                   Error *error)
{
    Written written = { .offset = writer->offset };

    int r = check_entry(writer, entry, content, error);
    if (r >= 0)
        r = check_offset(writer, error);
    if (r < 0)
        return r;
    size_t extra_size = size_of_extra(writer, entry);
    r = put_local_header(writer, entry, extra_size, error);
    if (r >= 0)
        r = put_data(writer, entry, content, &written, error);
    if (r < 0)
        return r;
    /* Deflated data can be longer than the content. */
    if (written.compressed_size >= ZIP64_MARK)
        return error_set(error, ERROR_INVALID_FILE, "'%s' has 4 GiB or more when deflated",
                         entry->name);
    r = correct_local_header(writer, entry, &written, extra_size, error);
    return r < 0 ? r : add_record(writer, entry, &written, error);
}

int zip_writer_finish(ZipWriter *writer, Error *error)
{
    uint8_t end[ZIP_END_SIZE];
    ByteWriter bytes = byte_writer(end, sizeof(end));

    int r = check_offset(writer, error);
    if (r < 0)
        return r;
    byte_writer_put_le32(&bytes, ZIP_END_SIGNATURE);
    byte_writer_put_zeros(&bytes, 4); /* one volume */
    byte_writer_put_le16(&bytes, (uint16_t)writer->n_entries);
    byte_writer_put_le16(&bytes, (uint16_t)writer->n_entries);
    byte_writer_put_le32(&bytes, (uint32_t)writer->records_size);
    byte_writer_put_le32(&bytes, (uint32_t)writer->offset);
    byte_writer_put_le16(&bytes, 0); /* no comment */
    assert(byte_writer_finish(&bytes) == 0 && bytes.size == ZIP_END_SIZE);
    r = put(writer, writer->records, writer->records_size, error);
    return r < 0 ? r : put(writer, end, sizeof(end), error);
}
