/* SPDX-License-Identifier: Apache-2.0 */
/* What the requests of a vhost-user front-end do: features, memory, and the life of each ring. No
 * sockets and no loop: the caller receives requests, sends the replies, watches the kick
 * descriptors, and works on the rings while they are live.
 *
 * A request that a front-end cannot mean is an error, and the caller ends the connection. What only
 * the guest may have got wrong (size and place of a ring, and everything in it) breaks that ring:
 * it is reported through its error descriptor and rests until the driver starts it anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "vhost-user/guest-memory.h"
#include "vhost-user/vhost-user-protocol.h"
#include "vhost-user/virtqueue.h"

#define VHOST_USER_RINGS_MAX 2

typedef enum VhostUserRingState {
    VHOST_USER_RING_STOPPED,
    VHOST_USER_RING_STARTED,
    VHOST_USER_RING_BROKEN,
} VhostUserRingState;

typedef struct VhostUserRing {
    Virtqueue queue;
    VhostUserRingState state;
    bool enabled;
    uint32_t size;
    uint16_t base;       /* where to start */
    uint16_t handed_out; /* where the front-end was told that it stopped */
    VirtqueueAddresses addresses;
    int kick_fd;
    int call_fd;
    int err_fd;
} VhostUserRing;

typedef struct VhostUserDevice {
    uint64_t offered_features; /* virtio's, without VHOST_USER_F_PROTOCOL_FEATURES */
    uint64_t features;
    uint64_t protocol_features;
    const uint8_t *config; /* lent */
    size_t config_size;
    GuestMemory memory;
    VhostUserRing rings[VHOST_USER_RINGS_MAX];
    size_t n_rings;
} VhostUserDevice;

typedef struct VhostUserResult {
    VhostUserReply reply;
    unsigned changed_kicks; /* bit per ring: it has another kick descriptor, or none */
    bool driver_changed;    /* another driver than before begins: what the old one had is gone */
} VhostUserResult;

/* @config is the device's configuration space and has to outlive the device. */
void vhost_user_device_init(VhostUserDevice *device,
                            uint64_t offered_features,
                            size_t n_rings,
                            const uint8_t *config,
                            size_t config_size);
void vhost_user_device_deinit(VhostUserDevice *device);

/* Carries out @request, taking the descriptors it keeps. @ret_result is always set. */
int vhost_user_device_handle(VhostUserDevice *device,
                             VhostUserRequest *request,
                             VhostUserResult *ret_result,
                             Error *error);

/* The ring, if chains may be taken from it and completed now; else NULL. */
Virtqueue *vhost_user_device_find_live_queue(VhostUserDevice *device, size_t ring);

/* Stops ring @ring after a violation by the driver and reports it. */
void vhost_user_device_break_ring(VhostUserDevice *device, size_t ring);

/* Interrupts the driver if it wants that for what was completed. */
void vhost_user_device_notify(VhostUserDevice *device, size_t ring);
