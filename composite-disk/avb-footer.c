/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-footer.h"

#include <inttypes.h>
#include <string.h>

#include "common/bytes.h"
#include "common/ckd.h"

static const uint8_t magic[4] = { 'A', 'V', 'B', 'f' };

void avb_footer_encode(const AvbFooter *footer, uint8_t ret_bytes[static AVB_FOOTER_SIZE])
{
    ByteWriter writer = byte_writer(ret_bytes, AVB_FOOTER_SIZE);

    byte_writer_put_bytes(&writer, magic, sizeof(magic));
    byte_writer_put_be32(&writer, AVB_FOOTER_VERSION_MAJOR);
    byte_writer_put_be32(&writer, AVB_FOOTER_VERSION_MINOR);
    byte_writer_put_be64(&writer, footer->image_size);
    byte_writer_put_be64(&writer, footer->vbmeta_offset);
    byte_writer_put_be64(&writer, footer->vbmeta_size);
    byte_writer_put_zeros(&writer, writer.capacity - writer.size);
}

int avb_footer_read(const ByteSource *source, AvbFooter *ret_footer, Error *error)
{
    uint8_t bytes[AVB_FOOTER_SIZE];
    AvbFooter footer = { 0 };
    uint32_t major = 0, minor = 0;
    uint64_t end;

    if (source->size < sizeof(bytes))
        return 0;
    int r = byte_source_read(source, source->size - sizeof(bytes), bytes, sizeof(bytes));
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the end of the image");
    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return 0;

    /* All of them fit. */
    ByteReader reader = byte_reader(bytes + sizeof(magic), sizeof(bytes) - sizeof(magic));
    (void)byte_reader_get_be32(&reader, &major);
    (void)byte_reader_get_be32(&reader, &minor);
    (void)byte_reader_get_be64(&reader, &footer.image_size);
    (void)byte_reader_get_be64(&reader, &footer.vbmeta_offset);
    (void)byte_reader_get_be64(&reader, &footer.vbmeta_size);
    if (major != AVB_FOOTER_VERSION_MAJOR)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB footer of version %" PRIu32 ".%" PRIu32 "; known is version %d",
                         major, minor, AVB_FOOTER_VERSION_MAJOR);
    if (ckd_add(&end, footer.vbmeta_offset, footer.vbmeta_size) ||
        end > source->size - sizeof(bytes))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB footer that puts %" PRIu64 " bytes of vbmeta at offset %" PRIu64
                         " of %" PRIu64 " bytes",
                         footer.vbmeta_size, footer.vbmeta_offset, source->size);
    if (footer.image_size > footer.vbmeta_offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB footer with vbmeta at offset %" PRIu64
                         " inside the image of %" PRIu64 " bytes",
                         footer.vbmeta_offset, footer.image_size);
    *ret_footer = footer;
    return 1;
}
