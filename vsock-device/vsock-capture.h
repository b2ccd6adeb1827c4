/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the packets of a guest to a descriptor, as a capture file that tcpdump and Wireshark read:
 * pcap with LINKTYPE_VSOCK (271), whose packets begin with the kernel's struct af_vsockmon_hdr.
 * Sources: pcap-savefile(5); linux/vsockmon.h; the tcpdump project's list of link-layer types.
 * Never blocks: a record that the reader has no room for is left out, and counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "vsock-device/vsock-packet.h"

typedef struct VsockCapture {
    sd_event *event; /* lent */
    int fd;          /* owned; negative: nobody captures */
    bool is_socket;
    sd_event_source *io; /* while the rest of a record waits */
    uint8_t *pending;
    size_t pending_size;
    uint64_t n_dropped;
} VsockCapture;

void vsock_capture_init(VsockCapture *capture, sd_event *event);
void vsock_capture_deinit(VsockCapture *capture);

/* Captures to @fd, which is taken: a stream socket, or a pipe that was made non-blocking. Ends a
 * capture that there is. -EINVAL for any other descriptor. */
int vsock_capture_start(VsockCapture *capture, int fd);

static inline bool vsock_capture_is_on(const VsockCapture *capture)
{
    return capture->fd >= 0;
}

/* Records a packet whose payload of @packet->size bytes is behind its header in @parts, which a
 * guest may be writing to. @usec: CLOCK_REALTIME. */
void vsock_capture_packet(VsockCapture *capture,
                          const VsockPacket *packet,
                          const struct iovec *parts,
                          size_t n_parts,
                          uint64_t usec);
