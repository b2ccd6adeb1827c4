/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/vsock-capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "vhost-user/virtqueue.h"
#include "vsock-device/io-vector.h"

#define PCAP_MAGIC       0xa1b2c3d4U /* times in microseconds; as written: little-endian */
#define PCAP_HEADER_SIZE 24
#define LINKTYPE_VSOCK   271
#define RECORD_HEAD_SIZE 16
#define MONITOR_HEAD     32 /* struct af_vsockmon_hdr */
#define PACKET_SIZE_MAX  (MONITOR_HEAD + VSOCK_PACKET_HEADER_SIZE + VSOCK_PACKET_PAYLOAD_MAX)
#define RECORD_SIZE_MAX  (RECORD_HEAD_SIZE + PACKET_SIZE_MAX)

/* enum af_vsockmon_op and af_vsockmon_transport. */
enum {
    MONITOR_UNKNOWN = 0,
    MONITOR_CONNECT = 1,
    MONITOR_DISCONNECT = 2,
    MONITOR_CONTROL = 3,
    MONITOR_PAYLOAD = 4,
    MONITOR_TRANSPORT_VIRTIO = 2,
};

void vsock_capture_init(VsockCapture *capture, sd_event *event)
{
    *capture = (VsockCapture){ .event = event, .fd = -EBADF };
}

void vsock_capture_deinit(VsockCapture *capture)
{
    if (capture->n_dropped > 0)
        log_info("the capture has left out %ju packets", (uintmax_t)capture->n_dropped);
    capture->io = sd_event_source_disable_unref(capture->io);
    capture->fd = fd_close(capture->fd);
    free(capture->pending);
    capture->pending = NULL;
    capture->pending_size = 0;
    capture->n_dropped = 0;
}

/* Returns how much was written; when nobody reads any more the capture ends. */
static size_t write_some(VsockCapture *capture, const uint8_t *bytes, size_t size)
{
    ssize_t n = capture->is_socket ? send(capture->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT)
                                   : write(capture->fd, bytes, size);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        vsock_capture_deinit(capture);
    return n > 0 ? (size_t)n : 0;
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    VsockCapture *capture = userdata;

    (void)source;
    (void)fd;
    if (revents & EPOLLERR) {
        vsock_capture_deinit(capture);
        return 0;
    }
    size_t done = write_some(capture, capture->pending, capture->pending_size);
    if (!vsock_capture_is_on(capture))
        return 0;
    capture->pending_size -= done;
    memmove(capture->pending, capture->pending + done, capture->pending_size);
    if (capture->pending_size == 0)
        (void)sd_event_source_set_enabled(capture->io, SD_EVENT_OFF);
    return 0;
}

/* Writes a whole record, keeping what does not fit at the moment. */
static void write_record(VsockCapture *capture, const uint8_t *bytes, size_t size)
{
    if (capture->pending_size > 0) {
        capture->n_dropped++;
        return;
    }
    size_t done = write_some(capture, bytes, size);
    if (!vsock_capture_is_on(capture) || done == size)
        return;
    if (done == 0) {
        capture->n_dropped++; /* nothing of it is there: it can be left out */
        return;
    }
    memcpy(capture->pending, bytes + done, size - done);
    capture->pending_size = size - done;
    (void)sd_event_source_set_enabled(capture->io, SD_EVENT_ON);
}

static int check_fd(int fd, bool *ret_is_socket)
{
    struct stat status;
    int type = 0;
    socklen_t size = sizeof(type);

    if (fstat(fd, &status) < 0)
        return -errno;
    *ret_is_socket = S_ISSOCK(status.st_mode);
    if (*ret_is_socket)
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM
                   ? 0
                   : -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    bool writable = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && (flags & O_NONBLOCK);
    return S_ISFIFO(status.st_mode) && writable ? 0 : -EINVAL;
}

static void write_file_header(VsockCapture *capture)
{
    uint8_t bytes[PCAP_HEADER_SIZE];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    byte_writer_put_le32(&writer, PCAP_MAGIC);
    byte_writer_put_le16(&writer, 2);
    byte_writer_put_le16(&writer, 4);
    byte_writer_put_zeros(&writer, 8); /* time zone and accuracy, which nobody uses */
    byte_writer_put_le32(&writer, PACKET_SIZE_MAX);
    byte_writer_put_le32(&writer, LINKTYPE_VSOCK);
    write_record(capture, bytes, writer.size);
}

int vsock_capture_start(VsockCapture *capture, int fd)
{
    _cleanup_close_ int owned = fd;
    bool is_socket;

    int r = check_fd(owned, &is_socket);
    if (r < 0)
        return r;
    vsock_capture_deinit(capture);
    capture->pending = malloc(RECORD_SIZE_MAX);
    if (!capture->pending)
        return -ENOMEM;
    r = sd_event_add_io(capture->event, &capture->io, owned, EPOLLOUT, on_writable, capture);
    if (r < 0) {
        vsock_capture_deinit(capture);
        return r;
    }
    (void)sd_event_source_set_enabled(capture->io, SD_EVENT_OFF);
    (void)sd_event_source_set_description(capture->io, "capture");
    capture->fd = take_fd(&owned);
    capture->is_socket = is_socket;
    write_file_header(capture);
    return 0;
}

static uint16_t find_monitor_operation(uint16_t operation)
{
    switch (operation) {
    case VSOCK_OPERATION_REQUEST:
    case VSOCK_OPERATION_RESPONSE:
        return MONITOR_CONNECT;
    case VSOCK_OPERATION_RESET:
    case VSOCK_OPERATION_SHUTDOWN:
        return MONITOR_DISCONNECT;
    case VSOCK_OPERATION_CREDIT_UPDATE:
    case VSOCK_OPERATION_CREDIT_REQUEST:
        return MONITOR_CONTROL;
    case VSOCK_OPERATION_DATA:
        return MONITOR_PAYLOAD;
    default:
        return MONITOR_UNKNOWN;
    }
}

static void put_packet_head(ByteWriter *writer, const VsockPacket *packet, uint64_t usec)
{
    uint8_t header[VSOCK_PACKET_HEADER_SIZE];
    uint32_t size = MONITOR_HEAD + VSOCK_PACKET_HEADER_SIZE + packet->size;

    byte_writer_put_le32(writer, (uint32_t)(usec / USEC_PER_SEC));
    byte_writer_put_le32(writer, (uint32_t)(usec % USEC_PER_SEC));
    byte_writer_put_le32(writer, size);
    byte_writer_put_le32(writer, size);
    byte_writer_put_le64(writer, packet->source_cid);
    byte_writer_put_le64(writer, packet->destination_cid);
    byte_writer_put_le32(writer, packet->source_port);
    byte_writer_put_le32(writer, packet->destination_port);
    byte_writer_put_le16(writer, find_monitor_operation(packet->operation));
    byte_writer_put_le16(writer, MONITOR_TRANSPORT_VIRTIO);
    byte_writer_put_le16(writer, VSOCK_PACKET_HEADER_SIZE);
    byte_writer_put_le16(writer, 0);
    vsock_packet_encode(packet, header);
    byte_writer_put_bytes(writer, header, sizeof(header));
}

void vsock_capture_packet(VsockCapture *capture,
                          const VsockPacket *packet,
                          const struct iovec *parts,
                          size_t n_parts,
                          uint64_t usec)
{
    static const size_t head_size = RECORD_HEAD_SIZE + MONITOR_HEAD + VSOCK_PACKET_HEADER_SIZE;
    struct iovec payload[VIRTQUEUE_CHAIN_MAX];
    _cleanup_free_ uint8_t *record = NULL;

    if (!vsock_capture_is_on(capture))
        return;
    record = malloc(head_size + packet->size);
    if (!record || packet->size > VSOCK_PACKET_PAYLOAD_MAX) {
        capture->n_dropped++;
        return;
    }

    ByteWriter writer = byte_writer(record, head_size);
    put_packet_head(&writer, packet, usec);
    if (packet->size > 0) {
        (void)io_vector_slice(parts, n_parts, VSOCK_PACKET_HEADER_SIZE, packet->size, payload);
        io_vector_copy_out(payload, record + head_size, packet->size);
    }
    write_record(capture, record, head_size + packet->size);
}
