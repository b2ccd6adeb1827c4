/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/vsock-packet.h"

#include <assert.h>

#include "common/bytes.h"

void vsock_packet_encode(const VsockPacket *packet, uint8_t bytes[static VSOCK_PACKET_HEADER_SIZE])
{
    ByteWriter writer = byte_writer(bytes, VSOCK_PACKET_HEADER_SIZE);

    byte_writer_put_le64(&writer, packet->source_cid);
    byte_writer_put_le64(&writer, packet->destination_cid);
    byte_writer_put_le32(&writer, packet->source_port);
    byte_writer_put_le32(&writer, packet->destination_port);
    byte_writer_put_le32(&writer, packet->size);
    byte_writer_put_le16(&writer, packet->type);
    byte_writer_put_le16(&writer, packet->operation);
    byte_writer_put_le32(&writer, packet->flags);
    byte_writer_put_le32(&writer, packet->buffer_size);
    byte_writer_put_le32(&writer, packet->forwarded_count);
    assert(byte_writer_finish(&writer) == 0 && writer.size == VSOCK_PACKET_HEADER_SIZE);
}

void vsock_packet_decode(const uint8_t bytes[static VSOCK_PACKET_HEADER_SIZE],
                         VsockPacket *ret_packet)
{
    ByteReader reader = byte_reader(bytes, VSOCK_PACKET_HEADER_SIZE);
    int r = byte_reader_get_le64(&reader, &ret_packet->source_cid);

    r |= byte_reader_get_le64(&reader, &ret_packet->destination_cid);
    r |= byte_reader_get_le32(&reader, &ret_packet->source_port);
    r |= byte_reader_get_le32(&reader, &ret_packet->destination_port);
    r |= byte_reader_get_le32(&reader, &ret_packet->size);
    r |= byte_reader_get_le16(&reader, &ret_packet->type);
    r |= byte_reader_get_le16(&reader, &ret_packet->operation);
    r |= byte_reader_get_le32(&reader, &ret_packet->flags);
    r |= byte_reader_get_le32(&reader, &ret_packet->buffer_size);
    r |= byte_reader_get_le32(&reader, &ret_packet->forwarded_count);
    assert(r == 0 && reader.size == 0); /* the buffer has exactly the size of the fields */
}
