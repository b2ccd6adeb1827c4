/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-signing-block.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

#define MAGIC       "APK Sig Block 42"
#define MAGIC_SIZE  16
#define SIZE_FIELD  8
#define FOOTER_SIZE (SIZE_FIELD + MAGIC_SIZE)
#define ID_SIZE     4
#define PAIR_HEADER (SIZE_FIELD + ID_SIZE)

static int damaged(int r, Error *error)
{
    return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the APK signing block");
}

/* The size at the end of the block, which does not count the one at its beginning; 0: no block. */
static int read_footer(const ByteSource *apk, uint64_t end, uint64_t *ret_size, Error *error)
{
    uint8_t footer[FOOTER_SIZE];
    ByteReader reader = byte_reader(footer, sizeof(footer));

    *ret_size = 0;
    if (end < FOOTER_SIZE)
        return 0;
    int r = byte_source_read(apk, end - FOOTER_SIZE, footer, sizeof(footer));
    if (r < 0)
        return damaged(r, error);
    if (memcmp(footer + SIZE_FIELD, MAGIC, MAGIC_SIZE) != 0)
        return 0;
    (void)byte_reader_get_le64(&reader, ret_size); /* the bytes are there */
    if (*ret_size < FOOTER_SIZE || *ret_size > APK_SIGNING_BLOCK_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK signing block has %ju bytes; taken are %d to %u",
                         (uintmax_t)*ret_size, FOOTER_SIZE, APK_SIGNING_BLOCK_MAX);
    if (*ret_size + SIZE_FIELD > end)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK signing block of %ju bytes begins before the file",
                         (uintmax_t)*ret_size);
    return 0;
}

static int check_header(const ByteSource *apk, uint64_t offset, uint64_t size, Error *error)
{
    uint8_t header[SIZE_FIELD];
    ByteReader reader = byte_reader(header, sizeof(header));
    uint64_t first_size = 0;

    int r = byte_source_read(apk, offset, header, sizeof(header));
    if (r < 0)
        return damaged(r, error);
    (void)byte_reader_get_le64(&reader, &first_size); /* the bytes are there */
    if (first_size != size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK signing block has two sizes, %ju and %ju bytes",
                         (uintmax_t)first_size, (uintmax_t)size);
    return 0;
}

int apk_signing_block_read(const ByteSource *apk,
                           const ZipSections *sections,
                           ApkSigningBlock *ret_block,
                           Error *error)
{
    uint64_t size;

    int r = read_footer(apk, sections->directory_offset, &size, error);
    if (r < 0 || size == 0)
        return r;
    uint64_t offset = sections->directory_offset - size - SIZE_FIELD;
    r = check_header(apk, offset, size, error);
    if (r < 0)
        return r;
    size_t pairs_size = (size_t)size - FOOTER_SIZE;
    uint8_t *bytes = malloc(pairs_size + 1);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = byte_source_read(apk, offset + SIZE_FIELD, bytes, pairs_size);
    if (r < 0) {
        free(bytes);
        return damaged(r, error);
    }
    *ret_block = (ApkSigningBlock){ offset, bytes, pairs_size };
    return 1;
}

void apk_signing_block_deinit(ApkSigningBlock *block)
{
    free(block->bytes);
    block->bytes = NULL;
}

static int read_pair(ByteReader *reader, uint32_t *ret_id, ByteReader *ret_value)
{
    const uint8_t *view;
    uint64_t size;

    int r = byte_reader_get_le64(reader, &size);
    if (r < 0)
        return r;
    if (size < ID_SIZE || size > reader->size)
        return -EBADMSG;
    r = byte_reader_get_le32(reader, ret_id);
    if (r < 0)
        return r;
    r = byte_reader_get_view(reader, (size_t)size - ID_SIZE, &view);
    *ret_value = byte_reader(view, (size_t)size - ID_SIZE);
    return r;
}

int apk_signing_block_find(const ApkSigningBlock *block,
                           uint32_t id,
                           ByteReader *ret_value,
                           Error *error)
{
    ByteReader reader = byte_reader(block->bytes, block->size), value, found = { 0 };
    unsigned n = 0, n_found = 0;
    uint32_t pair_id;

    for (; reader.size > 0; n++) {
        if (read_pair(&reader, &pair_id, &value) < 0)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "value %u in the APK signing block ends outside it", n);
        if (pair_id != id)
            continue;
        found = value;
        n_found++;
    }
    if (n_found > 1)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK signing block has the value 0x%08x %u times", id, n_found);
    if (n_found == 1)
        *ret_value = found;
    return (int)n_found;
}

int apk_signing_block_make(
    uint32_t id, const void *value, size_t size, uint8_t **ret_block, size_t *ret_size)
{
    size_t used = SIZE_FIELD + PAIR_HEADER + size + PAIR_HEADER + FOOTER_SIZE;
    size_t padding = (APK_SIGNING_BLOCK_ALIGNMENT - used % APK_SIGNING_BLOCK_ALIGNMENT) %
                     APK_SIGNING_BLOCK_ALIGNMENT;
    size_t whole = used + padding;

    if (size > APK_SIGNING_BLOCK_MAX / 2)
        return -EFBIG;
    uint8_t *block = malloc(whole);
    if (!block)
        return -ENOMEM;
    ByteWriter writer = byte_writer(block, whole);
    byte_writer_put_le64(&writer, whole - SIZE_FIELD);
    byte_writer_put_le64(&writer, ID_SIZE + size);
    byte_writer_put_le32(&writer, id);
    byte_writer_put_bytes(&writer, value, size);
    byte_writer_put_le64(&writer, ID_SIZE + padding);
    byte_writer_put_le32(&writer, APK_BLOCK_PADDING);
    byte_writer_put_zeros(&writer, padding);
    byte_writer_put_le64(&writer, whole - SIZE_FIELD);
    byte_writer_put_bytes(&writer, MAGIC, MAGIC_SIZE);
    assert(byte_writer_finish(&writer) == 0 && writer.size == whole);
    *ret_block = block;
    *ret_size = whole;
    return 0;
}
