/* SPDX-License-Identifier: Apache-2.0 */
/* Plays QEMU and the guest's driver against a vsock device in the same process: vhost-user messages
 * over a socket pair, guest memory in a memfd, two rings with their buffers. Nothing in it waits:
 * the device is stepped until it is idle. Failed expectations end the test through cmocka. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "protocol/broker-message.h"
#include "vsock-device/device.h"
#include "vsock-device/vsock-packet.h"

#define FRONT_END_CID          77
#define FRONT_END_GUEST_BASE   UINT64_C(0x40000000)
#define FRONT_END_MEMORY_SIZE  (4U << 20)
#define FRONT_END_RING_ENTRIES 64
#define FRONT_END_BUFFER_SIZE  8192

typedef struct FrontEndRing {
    size_t descriptors; /* offsets into memory */
    size_t available;
    size_t used;
    size_t buffers;
    uint16_t available_index;
    uint16_t used_index;
    int kick_fd;
    int call_fd;
    int err_fd;
} FrontEndRing;

typedef struct FrontEnd {
    sd_event *event;
    Device *device;
    int socket_fd;
    int broker_fd;
    int memory_fd;
    uint8_t *memory;
    FrontEndRing rings[2];
} FrontEnd;

/* Makes a device; with the handshake done, a driver has started with empty rings at index @base,
 * and all buffers of the receive ring are posted. */
FrontEnd *front_end_new(void);
FrontEnd *front_end_new_started(uint16_t base, uint64_t features);
FrontEnd *front_end_free(FrontEnd *front_end);

#define FRONT_END_FEATURES \
    ((UINT64_C(1) << 32) | (UINT64_C(1) << 30) | (UINT64_C(1) << 29) | (UINT64_C(1) << 28))

/* Runs the device until it has nothing left to do. 0, or what ended its loop + 1, negative errors
 * included. */
bool front_end_step(FrontEnd *front_end, int *ret_exit_code);

/* Sends a request, and reads the reply when @reply_size is not 0. */
void front_end_request(FrontEnd *front_end,
                       uint32_t type,
                       const void *payload,
                       size_t size,
                       const int *fds,
                       size_t n_fds);
void front_end_request_u64(FrontEnd *front_end, uint32_t type, uint64_t value);
size_t front_end_read_reply(FrontEnd *front_end, uint8_t *payload, size_t capacity);
void front_end_share_memory(FrontEnd *front_end);
void front_end_start_rings(FrontEnd *front_end, uint16_t base);
uint16_t front_end_stop_ring(FrontEnd *front_end, uint32_t ring);

/* The driver's side of the rings. */
uint8_t *front_end_at(FrontEnd *front_end, size_t offset);
void front_end_put_descriptor(FrontEnd *front_end,
                              size_t table,
                              size_t index,
                              uint64_t address,
                              uint32_t size,
                              uint16_t flags,
                              uint16_t next);
void front_end_offer(FrontEnd *front_end, size_t ring, uint16_t head);
void front_end_kick(FrontEnd *front_end, size_t ring);
void front_end_post_receive_buffers(FrontEnd *front_end, size_t count);
bool front_end_is_broken(FrontEnd *front_end, size_t ring);

/* Packets between the guest's @guest_port and the host's @host_port; sends step the device. A
 * packet that was received has its buffer posted again. False when there is none. */
void front_end_send(FrontEnd *front_end,
                    VsockOperation operation,
                    uint32_t guest_port,
                    uint32_t host_port,
                    const void *payload,
                    size_t size);
void front_end_send_packet(FrontEnd *front_end, const VsockPacket *packet, const void *payload);
bool front_end_receive(FrontEnd *front_end, VsockPacket *ret_packet, uint8_t *payload);
void front_end_expect(FrontEnd *front_end, VsockOperation operation, VsockPacket *ret_packet);
void front_end_expect_silence(FrontEnd *front_end);

/* The broker's side. */
void front_end_broker_send(
    FrontEnd *front_end, BrokerMessageType type, uint32_t id, uint32_t value, int fd);
bool front_end_broker_receive(FrontEnd *front_end, BrokerMessage *ret_message);

/* Opens a connection the whole way; returns the host's end. */
int front_end_open_from_guest(FrontEnd *front_end, uint32_t guest_port, uint32_t host_port);
int front_end_open_from_host(FrontEnd *front_end, uint32_t guest_port, uint32_t *ret_host_port);
