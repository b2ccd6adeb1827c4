/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "common/log.h"
#include "vhost-user/vhost-user-device.h"
#include "vhost-user/vhost-user-socket.h"
#include "vsock-device/broker-client.h"
#include "vsock-device/vsock-switch.h"

#define BIT(n)      (UINT64_C(1) << (n))
#define CONFIG_SIZE 8 /* struct virtio_vsock_config: le64 guest_cid */
/* No SEQPACKET: the host's end is a Unix stream. */
#define FEATURES \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

struct Device {
    sd_event *event;
    VhostUserSocket socket;
    VhostUserDevice vhost;
    BrokerClient broker;
    VsockSwitch vsock;
    uint8_t config[CONFIG_SIZE];
    sd_event_source *socket_source;
    sd_event_source *broker_source;
    sd_event_source *kick_sources[VSOCK_PACKET_RINGS];
    Error error;
};

const char *device_get_error(const Device *device)
{
    return error_get_message(&device->error);
}

/* @r is a negative errno; that a peer has gone is the ordinary end. */
static void device_exit(Device *device, int r)
{
    if (r == -ECONNRESET)
        r = 0;
    else
        (void)error_set_errno(&device->error, ERROR_FAILED, r, "the device cannot go on");
    (void)sd_event_exit(device->event, r); /* fails only when the loop has ended already */
}

static int on_kick(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    Device *device = userdata;

    vsock_switch_run(&device->vsock);
    return 0;
}

/* Every kick is an edge, so the counter is never read: one system call less a kick. */
static int watch_kick(Device *device, size_t ring)
{
    sd_event_source **source = &device->kick_sources[ring];
    int fd = device->vhost.rings[ring].kick_fd;

    *source = sd_event_source_disable_unref(*source);
    if (fd < 0)
        return 0;

    int r = sd_event_add_io(device->event, source, fd, EPOLLIN | EPOLLET, on_kick, device);
    if (r < 0)
        return error_set_errno(&device->error, ERROR_INVALID_FILE, r,
                               "a kick cannot be waited for");
    return sd_event_source_set_description(*source, ring == 0 ? "kick-0" : "kick-1");
}

static int handle_request(Device *device, VhostUserRequest *request)
{
    VhostUserResult result;

    /* A descriptor has to leave the loop before it is closed. */
    bool replaces_kick =
        request->type == VHOST_USER_SET_VRING_KICK || request->type == VHOST_USER_GET_VRING_BASE;
    if (replaces_kick && request->ring < VSOCK_PACKET_RINGS)
        device->kick_sources[request->ring] =
            sd_event_source_disable_unref(device->kick_sources[request->ring]);

    int r = vhost_user_device_handle(&device->vhost, request, &result, &device->error);
    if (r < 0)
        return r;

    for (size_t ring = 0; ring < VSOCK_PACKET_RINGS; ring++) {
        if (result.changed_kicks & (1U << ring)) {
            r = watch_kick(device, ring);
            if (r < 0)
                return r;
        }
    }
    if (result.driver_changed)
        vsock_switch_drop_all(&device->vsock);
    if (result.reply.size > 0) {
        r = vhost_user_socket_send(&device->socket, &result.reply, &device->error);
        if (r < 0)
            return r;
    }
    vsock_switch_run(&device->vsock);
    return 0;
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    Device *device = userdata;
    VhostUserRequest request;

    int r = vhost_user_socket_receive(&device->socket, &request, &device->error);
    if (r > 0) {
        r = handle_request(device, &request);
        vhost_user_request_deinit(&request);
    }
    if (r < 0)
        device_exit(device, r);
    return 0;
}

static void start_capture(Device *device, int fd)
{
    int r = vsock_capture_start(&device->vsock.capture, fd);

    if (r < 0)
        log_warning("cannot capture: %s", strerror(-r));
}

static void handle_broker_message(Device *device,
                                  const BrokerMessage *message,
                                  int fd,
                                  Stream *stream)
{
    if (message->type == BROKER_RESET)
        vsock_switch_drop_all(&device->vsock);
    else if (message->type == BROKER_DIAL)
        vsock_switch_dial(&device->vsock, message->id, message->value, fd);
    else if (message->type == BROKER_CAPTURE)
        start_capture(device, fd);
    else if (stream)
        vsock_switch_answer(&device->vsock, stream, fd);
    else
        (void)fd_close(fd); /* the guest has given up meanwhile */
}

static int serve_broker(Device *device)
{
    for (;;) {
        BrokerMessage message;
        Stream *stream;
        int fd;

        int r = broker_client_flush(&device->broker);
        if (r < 0)
            return r;
        /* Who does not take our messages gets none of its own read: see BROKER_QUEUE_MAX. */
        if (broker_client_has_queued(&device->broker))
            return 0;

        r = broker_client_receive(&device->broker, &message, &fd, &stream, &device->error);
        if (r <= 0)
            return r;
        handle_broker_message(device, &message, fd, stream);
    }
}

static int on_broker(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    (void)events;
    Device *device = userdata;

    int r = serve_broker(device);
    if (r < 0) {
        device_exit(device, r);
        return 0;
    }
    vsock_switch_run(&device->vsock);
    return 0;
}

static int device_watch(Device *device)
{
    int r = sd_event_add_io(device->event, &device->socket_source, device->socket.fd, EPOLLIN,
                            on_socket, device);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(device->socket_source, "vhost-user"); /* for debugging */

    r = sd_event_add_io(device->event, &device->broker_source, device->broker.fd,
                        EPOLLIN | EPOLLOUT | EPOLLET, on_broker, device);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(device->broker_source, "broker");

    return vsock_switch_init(&device->vsock, device->vsock.guest_cid, device->event, &device->vhost,
                             &device->broker);
}

int device_new(sd_event *event,
               uint32_t guest_cid,
               int vhost_fd,
               int broker_fd,
               Device **ret_device,
               Error *error)
{
    _cleanup_(device_freep) Device *device = calloc(1, sizeof(*device));
    if (!device) {
        (void)fd_close(vhost_fd);
        (void)fd_close(broker_fd);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }

    ByteWriter writer = byte_writer(device->config, sizeof(device->config));
    byte_writer_put_le64(&writer, guest_cid);
    vhost_user_socket_init(&device->socket, vhost_fd);
    vhost_user_device_init(&device->vhost, FEATURES, VSOCK_PACKET_RINGS, device->config,
                           sizeof(device->config));
    broker_client_init(&device->broker, broker_fd);
    device->event = sd_event_ref(event);
    device->vsock.guest_cid = guest_cid;

    int r = device_watch(device);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");

    *ret_device = TAKE_PTR(device);
    return 0;
}

Device *device_free(Device *device)
{
    if (device) {
        vsock_switch_deinit(&device->vsock);
        for (size_t ring = 0; ring < VSOCK_PACKET_RINGS; ring++)
            (void)sd_event_source_disable_unref(device->kick_sources[ring]);
        (void)sd_event_source_disable_unref(device->broker_source);
        (void)sd_event_source_disable_unref(device->socket_source);
        broker_client_deinit(&device->broker);
        vhost_user_device_deinit(&device->vhost);
        vhost_user_socket_deinit(&device->socket);
        (void)sd_event_unref(device->event);
        error_clear(&device->error);
        free(device);
    }
    return NULL;
}
