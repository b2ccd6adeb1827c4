/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/vsock-packet.h"

#include <endian.h>
#include <linux/virtio_vsock.h>
#include <string.h>

#include "tests/helpers/test.h"

static const VsockPacket packet = {
    .source_cid = 0x0102030405060708,
    .destination_cid = 2,
    .source_port = 0x11121314,
    .destination_port = 0x21222324,
    .size = 0x31323334,
    .type = 0x4142,
    .operation = 0x5152,
    .flags = 0x61626364,
    .buffer_size = 0x71727374,
    .forwarded_count = 0x81828384,
};

static void header_survives_a_round_trip(void **state)
{
    (void)state;
    uint8_t bytes[VSOCK_PACKET_HEADER_SIZE];
    VsockPacket copy;

    vsock_packet_encode(&packet, bytes);
    vsock_packet_decode(bytes, &copy);
    assert_int_equal(copy.source_cid, packet.source_cid);
    assert_int_equal(copy.destination_cid, packet.destination_cid);
    assert_int_equal(copy.source_port, packet.source_port);
    assert_int_equal(copy.destination_port, packet.destination_port);
    assert_int_equal(copy.size, packet.size);
    assert_int_equal(copy.type, packet.type);
    assert_int_equal(copy.operation, packet.operation);
    assert_int_equal(copy.flags, packet.flags);
    assert_int_equal(copy.buffer_size, packet.buffer_size);
    assert_int_equal(copy.forwarded_count, packet.forwarded_count);
}

static void layout_is_that_of_the_kernel_header(void **state)
{
    (void)state;
    uint8_t bytes[VSOCK_PACKET_HEADER_SIZE];
    struct virtio_vsock_hdr header;

    assert_int_equal(sizeof(header), VSOCK_PACKET_HEADER_SIZE);
    vsock_packet_encode(&packet, bytes);
    memcpy(&header, bytes, sizeof(header));
    assert_int_equal(le64toh(header.src_cid), packet.source_cid);
    assert_int_equal(le64toh(header.dst_cid), packet.destination_cid);
    assert_int_equal(le32toh(header.src_port), packet.source_port);
    assert_int_equal(le32toh(header.dst_port), packet.destination_port);
    assert_int_equal(le32toh(header.len), packet.size);
    assert_int_equal(le16toh(header.type), packet.type);
    assert_int_equal(le16toh(header.op), packet.operation);
    assert_int_equal(le32toh(header.flags), packet.flags);
    assert_int_equal(le32toh(header.buf_alloc), packet.buffer_size);
    assert_int_equal(le32toh(header.fwd_cnt), packet.forwarded_count);
    assert_int_equal(VSOCK_OPERATION_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_survives_a_round_trip),
        cmocka_unit_test(layout_is_that_of_the_kernel_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
