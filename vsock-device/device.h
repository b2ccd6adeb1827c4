/* SPDX-License-Identifier: Apache-2.0 */
/* The device on its loop: the vhost-user socket, the broker's, and the kicks of the rings. Ends the
 * loop with 0 when either peer closes, and with a negative errno and a sentence when one of them
 * violates its protocol. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/error.h"

#define DEVICE_GUEST_CID_MIN 3 /* 0 to 2 belong to the hypervisor, loopback and host: vsock(7) */
#define DEVICE_GUEST_CID_MAX 0xfffffffeU

typedef struct Device Device;

/* Takes @vhost_fd, a connected stream socket with a vhost-user front-end behind it, and @broker_fd,
 * a SOCK_SEQPACKET one with the broker, whether the call succeeds or fails. */
int device_new(sd_event *event,
               uint32_t guest_cid,
               int vhost_fd,
               int broker_fd,
               Device **ret_device,
               Error *error);
Device *device_free(Device *device);
DEFINE_CLEANUP(Device, device_free);

/* What ended the loop; only for a negative result of sd_event_loop(). */
const char *device_get_error(const Device *device);
