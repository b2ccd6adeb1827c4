/* SPDX-License-Identifier: Apache-2.0 */
/* Every event (a kick, an edge of a host socket, an answer of the broker, a deadline) changes a
 * stream, which is then settled: freed, or put into the queue of those with something for the
 * guest. A turn then takes packets off the guest's send ring and fills its receive ring from that
 * queue, one packet a stream. A turn that ends at its budget continues in the next round of the
 * loop. */
#include "vsock-device/vsock-switch.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "vsock-device/io-vector.h"

#define FIRST_HOST_PORT       0x40000000U /* above what anybody listens on */
#define VIOLATIONS_LOGGED_MAX 8           /* a guest may repeat them at will */

/* The lists of <sys/queue.h> have no safe iteration in glibc. */
#define LIST_FOREACH_REMOVABLE(variable, next, head, field)                                        \
    for ((variable) = LIST_FIRST(head); (variable) && ((next) = LIST_NEXT(variable, field), true); \
         (variable) = (next))

static StreamList *bucket_of(VsockSwitch *vsock, uint32_t host_port, uint32_t guest_port)
{
    return &vsock->by_ports[(host_port ^ guest_port) % VSOCK_PORT_BUCKETS];
}

static Stream *find_stream(VsockSwitch *vsock, uint32_t host_port, uint32_t guest_port)
{
    Stream *stream;

    LIST_FOREACH(stream, bucket_of(vsock, host_port, guest_port), port_link)
    if (stream->connection.host_port == host_port && stream->connection.guest_port == guest_port)
        return stream;
    return NULL;
}

static void add_stream(VsockSwitch *vsock, Stream *stream)
{
    const VsockConnection *connection = &stream->connection;

    stream->owner = vsock;
    LIST_INSERT_HEAD(&vsock->streams, stream, link);
    LIST_INSERT_HEAD(bucket_of(vsock, connection->host_port, connection->guest_port), stream,
                     port_link);
    stream->has_ports = true;
    vsock->n_streams++;
}

/* The guest may use the ports for another connection from here on. */
static void release_ports(Stream *stream)
{
    if (stream->has_ports)
        LIST_REMOVE(stream, port_link);
    stream->has_ports = false;
}

static void leave_queue(VsockSwitch *vsock, Stream *stream)
{
    if (stream->is_ready)
        TAILQ_REMOVE(&vsock->ready, stream, ready_link);
    stream->is_ready = false;
}

static void remove_stream(VsockSwitch *vsock, Stream *stream)
{
    broker_client_forget(vsock->broker, stream);
    leave_queue(vsock, stream);
    release_ports(stream);
    LIST_REMOVE(stream, link);
    vsock->n_streams--;
    (void)stream_free(stream);
}

static void make_ready(VsockSwitch *vsock, Stream *stream)
{
    if (!stream->is_ready)
        TAILQ_INSERT_TAIL(&vsock->ready, stream, ready_link);
    stream->is_ready = true;
}

static void settle_live(VsockSwitch *vsock, Stream *stream)
{
    VsockConnection *connection = &stream->connection;

    stream_pass_on_shutdown(stream);
    if (stream->is_hung_up && connection->guest_shutdown & VSOCK_SHUTDOWN_RECEIVE)
        vsock_connection_end_host(connection, VSOCK_SHUTDOWN_SEND);
    if (connection->host_shutdown == VSOCK_SHUTDOWN_BOTH)
        stream_close_host(stream);

    bool has_data = stream->is_readable && vsock_connection_can_send(connection);
    bool has_credit = vsock_connection_get_credit(connection) > 0;
    if (has_data && !has_credit)
        vsock_connection_want_credit(connection);
    if (vsock_connection_has_control(connection) || (has_data && has_credit))
        make_ready(vsock, stream);
}

/* After any change to @stream, which may be gone afterwards. */
static void settle(VsockSwitch *vsock, Stream *stream)
{
    switch (stream->connection.state) {
    case VSOCK_DETACHED:
        release_ports(stream);
        leave_queue(vsock, stream);
        stream->deadline_usec = STREAM_NO_DEADLINE;
        if (stream->to_host.size == 0)
            remove_stream(vsock, stream);
        break;
    case VSOCK_RESETTING:
        broker_client_forget(vsock->broker, stream); /* its answer comes too late now */
        stream_close_host(stream);
        make_ready(vsock, stream);
        break;
    case VSOCK_WAITING_FOR_HOST:
    case VSOCK_REQUESTING:
    case VSOCK_ESTABLISHED:
        settle_live(vsock, stream);
        break;
    }
}

void vsock_switch_drop_all(VsockSwitch *vsock)
{
    Stream *stream, *next;

    LIST_FOREACH_REMOVABLE(stream, next, &vsock->streams, link)
    {
        if (stream->connection.state == VSOCK_REQUESTING)
            broker_client_report_dial(vsock->broker, stream->dial_id, ECONNRESET);
        remove_stream(vsock, stream);
    }
    vsock->resets = (ResetQueue){ .size = 0 };
}

/* What the guest wrote into a ring makes no sense: nothing after it would. */
static void break_ring(VsockSwitch *vsock, size_t ring, const char *why)
{
    if (vsock->n_violations < VIOLATIONS_LOGGED_MAX) {
        vsock->n_violations++;
        log_warning("ring %zu stopped until the driver restarts it: %s", ring, why);
    }
    vhost_user_device_break_ring(vsock->device, ring);
    vsock_switch_drop_all(vsock);
}

static void arm_timer(VsockSwitch *vsock, uint64_t deadline_usec)
{
    if (deadline_usec >= vsock->next_deadline_usec)
        return;

    vsock->next_deadline_usec = deadline_usec;
    if (sd_event_source_set_time(vsock->timer, deadline_usec) < 0 ||
        sd_event_source_set_enabled(vsock->timer, SD_EVENT_ONESHOT) < 0)
        log_error("cannot set a timer"); /* -ENOMEM: the stream stays until its peer closes */
}

static void set_deadline(VsockSwitch *vsock, Stream *stream, uint64_t delay_usec)
{
    uint64_t now_usec = 0;

    /* Fails only for a clock that does not exist. */
    (void)sd_event_now(vsock->event, CLOCK_MONOTONIC, &now_usec);
    stream->deadline_usec = now_usec + delay_usec;
    arm_timer(vsock, stream->deadline_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    VsockSwitch *vsock = userdata;
    Stream *stream, *next;
    uint64_t now_usec = usec;

    (void)sd_event_now(vsock->event, CLOCK_MONOTONIC, &now_usec);
    vsock->next_deadline_usec = STREAM_NO_DEADLINE;
    LIST_FOREACH_REMOVABLE(stream, next, &vsock->streams, link)
    {
        if (stream->deadline_usec > now_usec) {
            arm_timer(vsock, stream->deadline_usec);
            continue;
        }

        if (stream->connection.state == VSOCK_REQUESTING)
            broker_client_report_dial(vsock->broker, stream->dial_id, ETIMEDOUT);
        stream->deadline_usec = STREAM_NO_DEADLINE;
        vsock_connection_reset(&stream->connection);
        settle(vsock, stream);
    }
    vsock_switch_run(vsock);
    return 0;
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source;
    (void)fd;
    Stream *stream = userdata;
    VsockSwitch *vsock = stream->owner;

    stream_on_poll(stream, events);
    if (events & EPOLLOUT)
        stream_flush(stream);
    settle(vsock, stream);
    vsock_switch_run(vsock);
    return 0;
}

void vsock_switch_answer(VsockSwitch *vsock, Stream *stream, int fd)
{
    if (fd >= 0 && stream_take_fd(stream, fd, vsock->event, on_stream) >= 0)
        vsock_connection_accept(&stream->connection);
    else
        vsock_connection_reset(&stream->connection);
    settle(vsock, stream);
}

static bool has_live_rings(VsockSwitch *vsock)
{
    return vhost_user_device_find_live_queue(vsock->device, VSOCK_PACKET_RING_RECEIVE) &&
           vhost_user_device_find_live_queue(vsock->device, VSOCK_PACKET_RING_SEND);
}

static int begin_dial(VsockSwitch *vsock, uint32_t id, uint32_t port, int fd)
{
    _cleanup_close_ int host_fd = fd;

    /* Nobody may ever come to answer: better said now than after the timeout. */
    if (!has_live_rings(vsock))
        return -ENOTCONN;
    if (vsock->n_streams == VSOCK_STREAMS_MAX)
        return -ENOBUFS;

    _cleanup_(stream_freep) Stream *stream = stream_new();
    if (!stream)
        return -ENOMEM;
    int r = stream_take_fd(stream, take_fd(&host_fd), vsock->event, on_stream);
    if (r < 0)
        return r;

    do
        vsock->last_host_port =
            vsock->last_host_port < FIRST_HOST_PORT || vsock->last_host_port >= UINT32_MAX - 1
                ? FIRST_HOST_PORT
                : vsock->last_host_port + 1;
    while (find_stream(vsock, vsock->last_host_port, port));

    vsock_connection_init_from_host(&stream->connection, vsock->last_host_port, port);
    stream->dial_id = id;
    add_stream(vsock, stream);
    set_deadline(vsock, stream, VSOCK_DIAL_TIMEOUT_USEC);
    settle(vsock, TAKE_PTR(stream));
    return 0;
}

void vsock_switch_dial(VsockSwitch *vsock, uint32_t id, uint32_t port, int fd)
{
    int r = begin_dial(vsock, id, port, fd);
    if (r < 0)
        broker_client_report_dial(vsock->broker, id, -r);
}

static void capture(VsockSwitch *vsock,
                    const VsockPacket *packet,
                    const struct iovec *parts,
                    size_t n_parts)
{
    if (vsock_capture_is_on(&vsock->capture))
        vsock_capture_packet(&vsock->capture, packet, parts, n_parts, realtime_usec());
}

/* ---- From the guest ---- */

static void on_request(VsockSwitch *vsock, const VsockPacket *packet)
{
    /* Answers to this port pair from before are void now. A guest that asks again for a pair in use
     * has forgotten the connection there. */
    reset_queue_forget(&vsock->resets, packet);
    Stream *old = find_stream(vsock, packet->destination_port, packet->source_port);
    if (old) {
        if (old->connection.state == VSOCK_REQUESTING)
            broker_client_report_dial(vsock->broker, old->dial_id, ECONNREFUSED);
        vsock_connection_detach(&old->connection);
        settle(vsock, old);
    }

    Stream *stream = NULL;
    if (vsock->n_streams < VSOCK_STREAMS_MAX && !broker_client_is_full(vsock->broker))
        stream = stream_new();
    if (!stream) {
        reset_queue_add(&vsock->resets, packet);
        return;
    }

    vsock_connection_init_from_guest(&stream->connection, packet);
    add_stream(vsock, stream);
    broker_client_connect(vsock->broker, stream, packet->destination_port);
}

static void on_packet(VsockSwitch *vsock,
                      Stream *stream,
                      const VsockPacket *packet,
                      const VirtqueueChain *chain)
{
    struct iovec payload[VIRTQUEUE_CHAIN_MAX];

    switch (vsock_connection_receive(&stream->connection, packet)) {
    case VSOCK_EVENT_OPENED:
        stream->deadline_usec = STREAM_NO_DEADLINE;
        broker_client_report_dial(vsock->broker, stream->dial_id, 0);
        break;
    case VSOCK_EVENT_REFUSED:
        broker_client_report_dial(vsock->broker, stream->dial_id, ECONNREFUSED);
        break;
    case VSOCK_EVENT_DATA: {
        size_t n_parts = io_vector_slice(chain->parts, chain->n_readable, VSOCK_PACKET_HEADER_SIZE,
                                         packet->size, payload);
        if (stream_deliver(stream, payload, n_parts) < 0)
            vsock_connection_reset(&stream->connection);
        break;
    }
    case VSOCK_EVENT_NONE:
    case VSOCK_EVENT_SHUTDOWN:
    case VSOCK_EVENT_GONE:
    case VSOCK_EVENT_VIOLATION:
        break; /* it is all in the connection's state */
    }
    settle(vsock, stream);
}

static void dispatch_packet(VsockSwitch *vsock,
                            const VsockPacket *packet,
                            const VirtqueueChain *chain)
{
    Stream *stream = NULL;

    if (packet->source_cid != vsock->guest_cid)
        return; /* nobody there to answer */

    if (packet->destination_cid == VSOCK_HOST_CID && packet->type == VSOCK_PACKET_TYPE_STREAM) {
        if (packet->operation == VSOCK_OPERATION_REQUEST) {
            on_request(vsock, packet);
            return;
        }
        stream = find_stream(vsock, packet->destination_port, packet->source_port);
    }

    if (stream)
        on_packet(vsock, stream, packet, chain);
    else if (packet->operation == VSOCK_OPERATION_RESET)
        reset_queue_forget(&vsock->resets, packet); /* a RESET is never answered */
    else
        reset_queue_add(&vsock->resets, packet);
}

/* Takes one packet off @queue. 1, 0 when there is none, -EBADMSG with the ring broken. */
static int receive_packet(VsockSwitch *vsock, Virtqueue *queue)
{
    uint8_t header[VSOCK_PACKET_HEADER_SIZE];
    VirtqueueChain chain;
    VsockPacket packet;

    int r = virtqueue_peek(queue, &chain);
    if (r == 0)
        return 0;
    if (r < 0 || chain.n_writable > 0 || chain.readable_size < sizeof(header)) {
        break_ring(vsock, VSOCK_PACKET_RING_SEND, "no valid chain of descriptors");
        return -EBADMSG;
    }

    io_vector_copy_out(chain.parts, header, sizeof(header));
    vsock_packet_decode(header, &packet);
    if (packet.size > VSOCK_PACKET_PAYLOAD_MAX ||
        packet.size > chain.readable_size - sizeof(header)) {
        break_ring(vsock, VSOCK_PACKET_RING_SEND, "a packet is longer than its buffers");
        return -EBADMSG;
    }

    capture(vsock, &packet, chain.parts, chain.n_readable);
    dispatch_packet(vsock, &packet, &chain);
    virtqueue_complete(queue, &chain, 0);
    return 1;
}

/* True when the turn ended before the ring was empty, and not for want of room for answers. */
static bool receive_turn(VsockSwitch *vsock)
{
    Virtqueue *queue = vhost_user_device_find_live_queue(vsock->device, VSOCK_PACKET_RING_SEND);
    bool has_more = true;

    if (!queue)
        return false;

    virtqueue_suppress_kicks(queue);
    for (unsigned n = 0; n < VSOCK_TURN_PACKETS && has_more; n++) {
        if (reset_queue_is_full(&vsock->resets)) {
            has_more = false; /* the guest gets no more read until it has taken some */
            break;
        }

        int r = receive_packet(vsock, queue);
        if (r < 0)
            return false;
        if (r == 0)
            has_more = virtqueue_request_kick(queue);
    }
    vhost_user_device_notify(vsock->device, VSOCK_PACKET_RING_SEND);
    return has_more;
}

/* ---- To the guest ---- */

/* Reads the host's bytes into the chain, behind the room for the header. Returns how many. */
static size_t read_payload(Stream *stream, const VirtqueueChain *chain)
{
    struct iovec payload[VIRTQUEUE_CHAIN_MAX];
    uint64_t room = chain->writable_size - VSOCK_PACKET_HEADER_SIZE;
    uint32_t credit = vsock_connection_get_credit(&stream->connection);

    if (!stream->is_readable || !vsock_connection_can_send(&stream->connection))
        return 0;
    if (room > VSOCK_PACKET_PAYLOAD_MAX)
        room = VSOCK_PACKET_PAYLOAD_MAX;
    if (room > credit)
        room = credit;
    if (room == 0)
        return 0;

    size_t n_parts = io_vector_slice(chain->parts, chain->n_writable, VSOCK_PACKET_HEADER_SIZE,
                                     (size_t)room, payload);
    return stream_read(stream, payload, n_parts);
}

/* What @stream has for the guest: false when that is nothing after all. */
static bool fill_from_stream(VsockSwitch *vsock,
                             Stream *stream,
                             const VirtqueueChain *chain,
                             VsockPacket *ret_packet)
{
    VsockConnection *connection = &stream->connection;

    if (vsock_connection_has_control(connection)) {
        VsockOperation operation = vsock_connection_take_control(connection, ret_packet);

        /* Nothing but a RESET can follow from the guest. */
        if (operation == VSOCK_OPERATION_SHUTDOWN && ret_packet->flags == VSOCK_SHUTDOWN_BOTH)
            set_deadline(vsock, stream, VSOCK_LINGER_USEC);
    } else {
        size_t size = read_payload(stream, chain);
        if (size == 0)
            return false;

        vsock_connection_take_data(connection, (uint32_t)size, ret_packet);
    }
    ret_packet->source_cid = VSOCK_HOST_CID;
    return true;
}

/* Fills @chain with the packet whose turn it is. Returns its size, or 0 when there is none. */
static uint32_t fill_chain(VsockSwitch *vsock, const VirtqueueChain *chain)
{
    uint8_t header[VSOCK_PACKET_HEADER_SIZE];
    VsockPacket packet;

    if (!reset_queue_take(&vsock->resets, &packet)) {
        Stream *stream = TAILQ_FIRST(&vsock->ready);

        leave_queue(vsock, stream);
        bool is_filled = fill_from_stream(vsock, stream, chain, &packet);
        settle(vsock, stream);
        if (!is_filled)
            return 0;
    }

    packet.destination_cid = vsock->guest_cid;
    vsock_packet_encode(&packet, header);
    io_vector_copy_in(chain->parts, header, sizeof(header));
    capture(vsock, &packet, chain->parts, chain->n_writable);
    return VSOCK_PACKET_HEADER_SIZE + packet.size;
}

static bool has_packets(const VsockSwitch *vsock)
{
    return vsock->resets.size > 0 || !TAILQ_EMPTY(&vsock->ready);
}

/* Sends one packet, if there is one. 1 to go on, 0 when the guest has no buffer, -EBADMSG with the
 * ring broken. */
static int send_packet(VsockSwitch *vsock, Virtqueue *queue)
{
    VirtqueueChain chain;

    int r = virtqueue_peek(queue, &chain);
    if (r == 0)
        return virtqueue_request_kick(queue);
    /* A buffer without room for a single byte of payload would never be used up by data. */
    if (r < 0 || chain.n_readable > 0 || chain.writable_size <= VSOCK_PACKET_HEADER_SIZE) {
        break_ring(vsock, VSOCK_PACKET_RING_RECEIVE, "no valid chain of descriptors");
        return -EBADMSG;
    }

    uint32_t size = fill_chain(vsock, &chain);
    if (size > 0)
        virtqueue_complete(queue, &chain, size);
    return 1;
}

/* True when the turn ended with packets and, as far as is known, buffers left. */
static bool send_turn(VsockSwitch *vsock)
{
    Virtqueue *queue = vhost_user_device_find_live_queue(vsock->device, VSOCK_PACKET_RING_RECEIVE);
    int r = 1;

    if (!queue || !has_packets(vsock))
        return false;

    /* The guest's new buffers are of no interest while there are some. */
    virtqueue_suppress_kicks(queue);
    for (unsigned n = 0; n < VSOCK_TURN_PACKETS && r > 0 && has_packets(vsock); n++)
        r = send_packet(vsock, queue);
    if (r < 0)
        return false;

    vhost_user_device_notify(vsock->device, VSOCK_PACKET_RING_RECEIVE);
    return r > 0 && has_packets(vsock);
}

void vsock_switch_run(VsockSwitch *vsock)
{
    bool has_more = receive_turn(vsock);
    bool was_full = reset_queue_is_full(&vsock->resets);

    has_more |= send_turn(vsock);
    has_more |= was_full && !reset_queue_is_full(&vsock->resets);
    if (has_more)
        (void)sd_event_source_set_enabled(vsock->work,
                                          SD_EVENT_ONESHOT); /* only for an exiting loop */
}

static int on_work(sd_event_source *source, void *userdata)
{
    (void)source;
    vsock_switch_run(userdata);
    return 0;
}

int vsock_switch_init(VsockSwitch *vsock,
                      uint64_t guest_cid,
                      sd_event *event,
                      VhostUserDevice *device,
                      BrokerClient *broker)
{
    *vsock = (VsockSwitch){
        .guest_cid = guest_cid,
        .event = event,
        .device = device,
        .broker = broker,
        .next_deadline_usec = STREAM_NO_DEADLINE,
    };
    TAILQ_INIT(&vsock->ready);
    vsock_capture_init(&vsock->capture, event);

    int r =
        sd_event_add_time(event, &vsock->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, vsock);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(vsock->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;

    r = sd_event_add_defer(event, &vsock->work, on_work, vsock);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(vsock->work, SD_EVENT_OFF);
}

void vsock_switch_deinit(VsockSwitch *vsock)
{
    Stream *stream, *next;

    LIST_FOREACH_REMOVABLE(stream, next, &vsock->streams, link)
    remove_stream(vsock, stream);
    vsock_capture_deinit(&vsock->capture);
    vsock->timer = sd_event_source_disable_unref(vsock->timer);
    vsock->work = sd_event_source_disable_unref(vsock->work);
}
