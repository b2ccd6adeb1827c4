/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/vbmeta-header.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

#define RESERVED_SIZE 80

static void get_region(ByteReader *reader, VbmetaRegion *region)
{
    (void)byte_reader_get_be64(reader, &region->offset); /* the caller has seen to the size */
    (void)byte_reader_get_be64(reader, &region->size);
}

static void put_region(ByteWriter *writer, VbmetaRegion region)
{
    byte_writer_put_be64(writer, region.offset);
    byte_writer_put_be64(writer, region.size);
}

/* There are more bytes than what is read. */
VbmetaHeader vbmeta_header_decode(const uint8_t bytes[static VBMETA_HEADER_SIZE])
{
    ByteReader reader =
        byte_reader(bytes + VBMETA_MAGIC_SIZE, VBMETA_HEADER_SIZE - VBMETA_MAGIC_SIZE);
    VbmetaHeader header = { 0 };

    (void)byte_reader_get_be32(&reader, &header.major);
    (void)byte_reader_get_be32(&reader, &header.minor);
    (void)byte_reader_get_be64(&reader, &header.authentication_size);
    (void)byte_reader_get_be64(&reader, &header.auxiliary_size);
    (void)byte_reader_get_be32(&reader, &header.algorithm);
    get_region(&reader, &header.hash);
    get_region(&reader, &header.signature);
    get_region(&reader, &header.public_key);
    get_region(&reader, &header.public_key_metadata);
    get_region(&reader, &header.descriptors);
    (void)byte_reader_get_be64(&reader, &header.rollback_index);
    (void)byte_reader_get_be32(&reader, &header.flags);
    (void)byte_reader_get_be32(&reader, &header.rollback_index_location);
    (void)byte_reader_get_bytes(&reader, header.release, sizeof(header.release));
    return header;
}

void vbmeta_header_encode(const VbmetaHeader *header, uint8_t ret_bytes[static VBMETA_HEADER_SIZE])
{
    ByteWriter writer = byte_writer(ret_bytes, VBMETA_HEADER_SIZE);

    byte_writer_put_bytes(&writer, VBMETA_MAGIC, VBMETA_MAGIC_SIZE);
    byte_writer_put_be32(&writer, header->major);
    byte_writer_put_be32(&writer, header->minor);
    byte_writer_put_be64(&writer, header->authentication_size);
    byte_writer_put_be64(&writer, header->auxiliary_size);
    byte_writer_put_be32(&writer, header->algorithm);
    put_region(&writer, header->hash);
    put_region(&writer, header->signature);
    put_region(&writer, header->public_key);
    put_region(&writer, header->public_key_metadata);
    put_region(&writer, header->descriptors);
    byte_writer_put_be64(&writer, header->rollback_index);
    byte_writer_put_be32(&writer, header->flags);
    byte_writer_put_be32(&writer, header->rollback_index_location);
    byte_writer_put_bytes(&writer, header->release, sizeof(header->release));
    byte_writer_put_zeros(&writer, RESERVED_SIZE);
    assert(byte_writer_finish(&writer) == 0 && writer.size == VBMETA_HEADER_SIZE);
}

uint8_t *vbmeta_dup_signed_bytes(const uint8_t *data,
                                 size_t size,
                                 size_t authentication_size,
                                 size_t *ret_size)
{
    size_t auxiliary_size = size - VBMETA_HEADER_SIZE - authentication_size;
    uint8_t *bytes = malloc(VBMETA_HEADER_SIZE + auxiliary_size);

    if (!bytes)
        return NULL;
    memcpy(bytes, data, VBMETA_HEADER_SIZE);
    memcpy(bytes + VBMETA_HEADER_SIZE, data + size - auxiliary_size, auxiliary_size);
    *ret_size = VBMETA_HEADER_SIZE + auxiliary_size;
    return bytes;
}
