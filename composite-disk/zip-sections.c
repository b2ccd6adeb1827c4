/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-sections.h"

#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"

#define END_SEARCH_MAX    (ZIP_END_SIZE + ZIP_COMMENT_MAX)
#define COMMENT_FIELD     20
#define LOCATOR64_SIZE    20
#define LOCATOR64         UINT32_C(0x07064b50)
#define UNREADABLE_FORMAT "cannot read the end of the zip"

static const uint8_t end_signature[] = { 'P', 'K', 5, 6 };

/* What the last bytes of a file say of where its end record is. */
typedef struct EndRecord {
    uint64_t offset;
    uint64_t size;     /* with the comment that it claims */
    uint64_t tail;     /* bytes behind that */
    bool tail_is_zero; /* true for a tail of none */
} EndRecord;

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* The last end signature counts: one that is inside a comment is taken for the record, and then
 * refused by what stands before it, so that no two readers see two zips in one file. */
static int find_end(const ByteSource *zip, size_t tail_max, EndRecord *ret_end, Error *error)
{
    size_t search_max = END_SEARCH_MAX + tail_max;
    size_t size = zip->size < search_max ? (size_t)zip->size : search_max;
    _cleanup_free_ uint8_t *bytes = malloc(size + 1);
    size_t at;

    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = byte_source_read(zip, zip->size - size, bytes, size);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, UNREADABLE_FORMAT);
    if (size < ZIP_END_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID, "a file of %zu bytes is no zip", size);
    for (at = size - ZIP_END_SIZE; memcmp(bytes + at, end_signature, sizeof(end_signature)) != 0;
         at--) {
        if (at == 0)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "no zip: no end record in the last %zu bytes", size);
    }
    size_t comment = (size_t)bytes[at + COMMENT_FIELD] | (size_t)bytes[at + COMMENT_FIELD + 1] << 8;
    size_t end = at + ZIP_END_SIZE + comment;
    if (end > size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the zip's comment of %zu bytes ends %zu bytes behind the file", comment,
                         end - size);
    *ret_end = (EndRecord){
        .offset = zip->size - size + at,
        .size = ZIP_END_SIZE + comment,
        .tail = size - end,
        .tail_is_zero = is_zero(bytes + end, size - end),
    };
    return 0;
}

static int check_not_zip64(const ByteSource *zip, uint64_t end_offset, Error *error)
{
    uint8_t bytes[4];
    ByteReader reader = byte_reader(bytes, sizeof(bytes));
    uint32_t signature = 0;

    if (end_offset < LOCATOR64_SIZE)
        return 0;
    int r = byte_source_read(zip, end_offset - LOCATOR64_SIZE, bytes, sizeof(bytes));
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, UNREADABLE_FORMAT);
    (void)byte_reader_get_le32(&reader, &signature); /* all four bytes are there */
    return signature == LOCATOR64
               ? error_set(error, ERROR_IMAGE_INVALID, "the zip has ZIP64 records")
               : 0;
}

typedef struct EndFields {
    uint16_t disk, directory_disk, n_here, n_entries;
    uint32_t directory_size, directory_offset;
} EndFields;

static int read_fields(const ByteSource *zip, uint64_t offset, EndFields *ret_fields)
{
    uint8_t bytes[ZIP_END_SIZE];
    ByteReader reader = byte_reader(bytes, sizeof(bytes));
    EndFields fields = { 0 };
    uint32_t signature;

    int r = byte_source_read(zip, offset, bytes, sizeof(bytes));
    if (r < 0 || (r = byte_reader_get_le32(&reader, &signature)) < 0 ||
        (r = byte_reader_get_le16(&reader, &fields.disk)) < 0 ||
        (r = byte_reader_get_le16(&reader, &fields.directory_disk)) < 0 ||
        (r = byte_reader_get_le16(&reader, &fields.n_here)) < 0 ||
        (r = byte_reader_get_le16(&reader, &fields.n_entries)) < 0 ||
        (r = byte_reader_get_le32(&reader, &fields.directory_size)) < 0 ||
        (r = byte_reader_get_le32(&reader, &fields.directory_offset)) < 0)
        return r;
    *ret_fields = fields;
    return 0;
}

static int check_fields(const EndFields *fields, uint64_t end_offset, Error *error)
{
    if (fields->disk != 0 || fields->directory_disk != 0 || fields->n_here != fields->n_entries)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the zip is one of several volumes (number %u)", fields->disk);
    if (fields->directory_size == ZIP64_MARK || fields->directory_offset == ZIP64_MARK)
        return error_set(error, ERROR_IMAGE_INVALID, "the zip's end record is one for ZIP64");
    uint64_t directory_end = (uint64_t)fields->directory_offset + fields->directory_size;
    if (directory_end > end_offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the central directory of %u bytes at %u ends behind the end record at "
                         "%ju; the zip is cut short, or its numbers are wrong",
                         fields->directory_size, fields->directory_offset, (uintmax_t)end_offset);
    if (directory_end < end_offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%ju bytes before the zip, or between its central directory and its end "
                         "record",
                         (uintmax_t)(end_offset - directory_end));
    if ((uint64_t)fields->n_entries * ZIP_DIRECTORY_SIZE > fields->directory_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the central directory of %u bytes has no room for %u entries",
                         fields->directory_size, fields->n_entries);
    return 0;
}

int zip_find_sections(const ByteSource *zip, ZipSections *ret_sections, Error *error)
{
    EndRecord end;
    EndFields fields;

    int r = find_end(zip, 0, &end, error);
    if (r < 0)
        return r;
    if (end.tail > 0)
        return error_set(error, ERROR_IMAGE_INVALID, "%ju bytes behind the zip's end record",
                         (uintmax_t)end.tail);
    r = check_not_zip64(zip, end.offset, error);
    if (r < 0)
        return r;
    r = read_fields(zip, end.offset, &fields);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, UNREADABLE_FORMAT);
    r = check_fields(&fields, end.offset, error);
    if (r < 0)
        return r;
    *ret_sections = (ZipSections){
        .directory_offset = fields.directory_offset,
        .directory_size = fields.directory_size,
        .end_offset = end.offset,
        .end_size = end.size,
        .n_entries = fields.n_entries,
    };
    return 0;
}

int zip_cut_tail(const ByteSource *partition, ByteSource *ret_zip, Error *error)
{
    EndRecord end;

    int r = find_end(partition, ZIP_TAIL_ALIGNMENT - 1, &end, error);
    if (r < 0)
        return r;
    if (!end.tail_is_zero || end.tail >= ZIP_TAIL_ALIGNMENT)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%ju bytes behind the zip's end record; there may be up to %d zeros",
                         (uintmax_t)end.tail, ZIP_TAIL_ALIGNMENT - 1);
    r = byte_source_slice(partition, 0, partition->size - end.tail, ret_zip);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, UNREADABLE_FORMAT);
    return 0;
}
