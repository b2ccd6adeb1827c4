/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/vhost-user-device.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "common/fd.h"

#define BIT(n) (UINT64_C(1) << (n))
#define OFFERED_PROTOCOL_FEATURES \
    (BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_CONFIG))

void vhost_user_device_init(VhostUserDevice *device,
                            uint64_t offered_features,
                            size_t n_rings,
                            const uint8_t *config,
                            size_t config_size)
{
    assert(n_rings <= VHOST_USER_RINGS_MAX);

    *device = (VhostUserDevice){
        .offered_features = offered_features,
        .config = config,
        .config_size = config_size,
        .n_rings = n_rings,
    };
    for (size_t i = 0; i < n_rings; i++) {
        VhostUserRing *ring = &device->rings[i];
        ring->kick_fd = ring->call_fd = ring->err_fd = -EBADF;
    }
}

void vhost_user_device_deinit(VhostUserDevice *device)
{
    for (size_t i = 0; i < device->n_rings; i++) {
        VhostUserRing *ring = &device->rings[i];

        virtqueue_stop(&ring->queue);
        ring->kick_fd = fd_close(ring->kick_fd);
        ring->call_fd = fd_close(ring->call_fd);
        ring->err_fd = fd_close(ring->err_fd);
    }
    guest_memory_deinit(&device->memory);
    device->n_rings = 0;
}

/* A signal that cannot be delivered is not our loss: the other end is the front-end's own. */
static void event_signal(int fd)
{
    static const uint64_t one = 1;

    if (fd >= 0) {
        ssize_t ignored = write(fd, &one, sizeof(one));
        (void)ignored;
    }
}

void vhost_user_device_break_ring(VhostUserDevice *device, size_t ring)
{
    VhostUserRing *broken = &device->rings[ring];

    broken->state = VHOST_USER_RING_BROKEN;
    broken->base = broken->queue.next;
    virtqueue_stop(&broken->queue);
    event_signal(broken->err_fd);
}

Virtqueue *vhost_user_device_find_live_queue(VhostUserDevice *device, size_t ring)
{
    VhostUserRing *found = &device->rings[ring];

    return found->state == VHOST_USER_RING_STARTED && found->enabled ? &found->queue : NULL;
}

void vhost_user_device_notify(VhostUserDevice *device, size_t ring)
{
    VhostUserRing *notified = &device->rings[ring];

    if (notified->state == VHOST_USER_RING_STARTED && virtqueue_should_notify(&notified->queue))
        event_signal(notified->call_fd);
}

static void ring_start(VhostUserDevice *device, size_t index)
{
    VhostUserRing *ring = &device->rings[index];

    int r = virtqueue_start(&ring->queue, &device->memory, &ring->addresses, ring->size, ring->base,
                            device->features);
    if (r < 0) {
        ring->queue.next = ring->base;
        vhost_user_device_break_ring(device, index);
        return;
    }
    ring->state = VHOST_USER_RING_STARTED;
}

static int handle_set_features(VhostUserDevice *device,
                               VhostUserRequest *request,
                               VhostUserResult *result,
                               Error *error)
{
    (void)result; /* one signature for the whole table, here and below */
    uint64_t offered = device->offered_features | BIT(VHOST_USER_F_PROTOCOL_FEATURES);
    if (request->features & ~offered)
        return error_set(error, ERROR_INVALID_ARGUMENT, "features %#" PRIx64 " were not offered",
                         request->features & ~offered);

    device->features = request->features;
    /* Without protocol features there is no SET_VRING_ENABLE. */
    if (!(request->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
        for (size_t i = 0; i < device->n_rings; i++)
            device->rings[i].enabled = true;
    return 0;
}

static int handle_get_features(VhostUserDevice *device,
                               VhostUserRequest *request,
                               VhostUserResult *result,
                               Error *error)
{
    (void)error;
    vhost_user_reply_with_number(&result->reply, request->type,
                                 device->offered_features | BIT(VHOST_USER_F_PROTOCOL_FEATURES));
    return 0;
}

static int handle_get_protocol_features(VhostUserDevice *device,
                                        VhostUserRequest *request,
                                        VhostUserResult *result,
                                        Error *error)
{
    (void)device;
    (void)error;
    vhost_user_reply_with_number(&result->reply, request->type, OFFERED_PROTOCOL_FEATURES);
    return 0;
}

static int handle_set_protocol_features(VhostUserDevice *device,
                                        VhostUserRequest *request,
                                        VhostUserResult *result,
                                        Error *error)
{
    (void)result;
    if (request->features & ~OFFERED_PROTOCOL_FEATURES)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "protocol features %#" PRIx64 " were not offered",
                         request->features & ~OFFERED_PROTOCOL_FEATURES);

    device->protocol_features = request->features;
    return 0;
}

/* SET_OWNER has no meaning on a connection of our own; RESET_OWNER is best ignored, says the
 * specification. */
static int handle_owner(VhostUserDevice *device,
                        VhostUserRequest *request,
                        VhostUserResult *result,
                        Error *error)
{
    (void)device;
    (void)request;
    (void)result;
    (void)error;
    return 0;
}

static int handle_set_mem_table(VhostUserDevice *device,
                                VhostUserRequest *request,
                                VhostUserResult *result,
                                Error *error)
{
    (void)result;
    int r = guest_memory_set(&device->memory, request->regions, request->fds, request->n_regions,
                             error);
    if (r < 0)
        return r;

    /* Memory may change under a running device: hot plug. */
    for (size_t i = 0; i < device->n_rings; i++) {
        VhostUserRing *ring = &device->rings[i];

        if (ring->state == VHOST_USER_RING_STARTED &&
            virtqueue_remap(&ring->queue, &ring->addresses) < 0)
            vhost_user_device_break_ring(device, i);
    }
    return 0;
}

static int handle_set_vring_num(VhostUserDevice *device,
                                VhostUserRequest *request,
                                VhostUserResult *result,
                                Error *error)
{
    (void)result;
    (void)error;
    device->rings[request->ring].size = request->number; /* the guest's choice: judged at start */
    return 0;
}

static int handle_set_vring_addr(VhostUserDevice *device,
                                 VhostUserRequest *request,
                                 VhostUserResult *result,
                                 Error *error)
{
    (void)result;
    (void)error;
    device->rings[request->ring].addresses = request->addresses;
    return 0;
}

static int handle_set_vring_base(VhostUserDevice *device,
                                 VhostUserRequest *request,
                                 VhostUserResult *result,
                                 Error *error)
{
    VhostUserRing *ring = &device->rings[request->ring];

    if (request->number > UINT16_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "ring base %u is out of range",
                         request->number);

    ring->base = (uint16_t)request->number;
    /* A paused driver continues where it stopped, a new one begins elsewhere: at zero. */
    result->driver_changed = ring->base != ring->handed_out;
    return 0;
}

static int handle_get_vring_base(VhostUserDevice *device,
                                 VhostUserRequest *request,
                                 VhostUserResult *result,
                                 Error *error)
{
    (void)error;
    VhostUserRing *ring = &device->rings[request->ring];

    if (ring->state == VHOST_USER_RING_STARTED)
        ring->base = ring->queue.next;
    ring->handed_out = ring->base;
    ring->state = VHOST_USER_RING_STOPPED;
    virtqueue_stop(&ring->queue);
    ring->kick_fd = fd_close(ring->kick_fd);
    result->changed_kicks = 1U << request->ring;
    vhost_user_reply_with_ring_state(&result->reply, request->type, request->ring, ring->base);
    return 0;
}

/* Event descriptors are shared with whoever kicks and gets called. One that blocks would stop the
 * device when the other side fills the counter. */
static int take_event_fd(VhostUserRequest *request, int *fd, Error *error)
{
    *fd = fd_close(*fd);
    if (request->n_fds == 0)
        return 0;

    int r = fd_set_nonblocking(request->fds[0], true);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot prepare an event descriptor");

    *fd = take_fd(&request->fds[0]);
    return 0;
}

static int handle_set_vring_kick(VhostUserDevice *device,
                                 VhostUserRequest *request,
                                 VhostUserResult *result,
                                 Error *error)
{
    VhostUserRing *ring = &device->rings[request->ring];

    result->changed_kicks = 1U << request->ring;
    int r = take_event_fd(request, &ring->kick_fd, error);
    if (r < 0)
        return r;

    if (ring->state != VHOST_USER_RING_STARTED)
        ring_start(device, request->ring);
    return 0;
}

static int handle_set_vring_call(VhostUserDevice *device,
                                 VhostUserRequest *request,
                                 VhostUserResult *result,
                                 Error *error)
{
    (void)result;
    return take_event_fd(request, &device->rings[request->ring].call_fd, error);
}

static int handle_set_vring_err(VhostUserDevice *device,
                                VhostUserRequest *request,
                                VhostUserResult *result,
                                Error *error)
{
    (void)result;
    return take_event_fd(request, &device->rings[request->ring].err_fd, error);
}

static int handle_set_vring_enable(VhostUserDevice *device,
                                   VhostUserRequest *request,
                                   VhostUserResult *result,
                                   Error *error)
{
    (void)result;
    if (request->number > 1)
        return error_set(error, ERROR_INVALID_ARGUMENT, "SET_VRING_ENABLE has the value %u",
                         request->number);

    device->rings[request->ring].enabled = request->number;
    return 0;
}

static int handle_get_config(VhostUserDevice *device,
                             VhostUserRequest *request,
                             VhostUserResult *result,
                             Error *error)
{
    (void)error;
    bool inside = request->config_offset <= device->config_size &&
                  request->config_size <= device->config_size - request->config_offset;

    vhost_user_reply_with_config(&result->reply, request,
                                 inside ? device->config + request->config_offset : NULL);
    return 0;
}

typedef int (*Handler)(VhostUserDevice *, VhostUserRequest *, VhostUserResult *, Error *);

static const struct {
    Handler handle;
    bool has_ring;
    bool needs_stopped; /* the ring may not be running */
} handlers[VHOST_USER_REQUEST_TYPE_MAX] = {
    [VHOST_USER_GET_FEATURES] = { .handle = handle_get_features },
    [VHOST_USER_SET_FEATURES] = { .handle = handle_set_features },
    [VHOST_USER_SET_OWNER] = { .handle = handle_owner },
    [VHOST_USER_RESET_OWNER] = { .handle = handle_owner },
    [VHOST_USER_SET_MEM_TABLE] = { .handle = handle_set_mem_table },
    [VHOST_USER_SET_VRING_NUM] = { handle_set_vring_num, true, true },
    [VHOST_USER_SET_VRING_ADDR] = { handle_set_vring_addr, true, true },
    [VHOST_USER_SET_VRING_BASE] = { handle_set_vring_base, true, true },
    [VHOST_USER_GET_VRING_BASE] = { handle_get_vring_base, true, false },
    [VHOST_USER_SET_VRING_KICK] = { handle_set_vring_kick, true, false },
    [VHOST_USER_SET_VRING_CALL] = { handle_set_vring_call, true, false },
    [VHOST_USER_SET_VRING_ERR] = { handle_set_vring_err, true, false },
    [VHOST_USER_GET_PROTOCOL_FEATURES] = { .handle = handle_get_protocol_features },
    [VHOST_USER_SET_PROTOCOL_FEATURES] = { .handle = handle_set_protocol_features },
    [VHOST_USER_SET_VRING_ENABLE] = { handle_set_vring_enable, true, false },
    [VHOST_USER_GET_CONFIG] = { .handle = handle_get_config },
};

int vhost_user_device_handle(VhostUserDevice *device,
                             VhostUserRequest *request,
                             VhostUserResult *ret_result,
                             Error *error)
{
    const char *name = vhost_user_request_type_to_string(request->type);

    *ret_result = (VhostUserResult){ .changed_kicks = 0 };
    if (handlers[request->type].has_ring && request->ring >= device->n_rings)
        return error_set(error, ERROR_INVALID_ARGUMENT, "%s names ring %u", name, request->ring);
    if (handlers[request->type].needs_stopped &&
        device->rings[request->ring].state == VHOST_USER_RING_STARTED)
        return error_set(error, ERROR_INVALID_STATE, "%s for ring %u, which runs", name,
                         request->ring);

    int r = handlers[request->type].handle(device, request, ret_result, error);
    if (r < 0)
        return r;

    /* A request with an answer of its own gets no acknowledgement. */
    if (request->needs_reply && ret_result->reply.size == 0 &&
        device->protocol_features & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK))
        vhost_user_reply_with_number(&ret_result->reply, request->type, 0);
    return 0;
}
