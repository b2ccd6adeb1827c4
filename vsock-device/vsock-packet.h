/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a virtio-vsock packet, between its 44 bytes and a struct.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, 5.10.6 "Device Operation". */
#pragma once

#include <stdint.h>

#define VSOCK_PACKET_HEADER_SIZE  44
#define VSOCK_PACKET_PAYLOAD_MAX  65536 /* Linux' VIRTIO_VSOCK_MAX_PKT_BUF_SIZE */
#define VSOCK_PACKET_TYPE_STREAM  1
#define VSOCK_PACKET_RINGS        2 /* the event ring stays with the VMM */
#define VSOCK_PACKET_RING_RECEIVE 0 /* named from the guest's side */
#define VSOCK_PACKET_RING_SEND    1
#define VSOCK_HOST_CID            2

typedef enum VsockOperation {
    VSOCK_OPERATION_INVALID = 0,
    VSOCK_OPERATION_REQUEST = 1,
    VSOCK_OPERATION_RESPONSE = 2,
    VSOCK_OPERATION_RESET = 3,
    VSOCK_OPERATION_SHUTDOWN = 4,
    VSOCK_OPERATION_DATA = 5,
    VSOCK_OPERATION_CREDIT_UPDATE = 6,
    VSOCK_OPERATION_CREDIT_REQUEST = 7,
} VsockOperation;

/* Flags of a SHUTDOWN: what its sender will not do any more. */
#define VSOCK_SHUTDOWN_RECEIVE 1U
#define VSOCK_SHUTDOWN_SEND    2U
#define VSOCK_SHUTDOWN_BOTH    3U

typedef struct VsockPacket {
    uint64_t source_cid;
    uint64_t destination_cid;
    uint32_t source_port;
    uint32_t destination_port;
    uint32_t size; /* of the payload */
    uint16_t type;
    uint16_t operation; /* a VsockOperation, or what the guest made up */
    uint32_t flags;
    uint32_t buffer_size;     /* what the sender can hold, */
    uint32_t forwarded_count; /* and how much of all it received has left there again */
} VsockPacket;

void vsock_packet_encode(const VsockPacket *packet, uint8_t bytes[static VSOCK_PACKET_HEADER_SIZE]);

/* Every header has a meaning to the codec; what it says is for the caller to judge. */
void vsock_packet_decode(const uint8_t bytes[static VSOCK_PACKET_HEADER_SIZE],
                         VsockPacket *ret_packet);
