/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/broker-client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd-message.h"
#include "common/fd.h"

void broker_client_init(BrokerClient *broker, int fd)
{
    *broker = (BrokerClient){ .fd = fd };
}

void broker_client_deinit(BrokerClient *broker)
{
    broker->fd = fd_close(broker->fd);
}

bool broker_client_is_full(const BrokerClient *broker)
{
    return broker->n_pending == BROKER_PENDING_MAX;
}

bool broker_client_has_queued(const BrokerClient *broker)
{
    return broker->queue_size > 0;
}

int broker_client_flush(BrokerClient *broker)
{
    while (broker->queue_size > 0) {
        int r = fd_message_send(broker->fd, broker->queue[broker->queue_start], BROKER_MESSAGE_SIZE,
                                NULL, 0);
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return -ECONNRESET;

        broker->queue_start = (broker->queue_start + 1) % BROKER_QUEUE_MAX;
        broker->queue_size--;
    }
    return 0;
}

static void broker_client_send(BrokerClient *broker,
                               BrokerMessageType type,
                               uint32_t id,
                               uint32_t value)
{
    BrokerMessage message = { .type = type, .id = id, .value = value };

    assert(broker->queue_size < BROKER_QUEUE_MAX); /* see there */
    size_t slot = (broker->queue_start + broker->queue_size) % BROKER_QUEUE_MAX;
    broker_message_encode(&message, broker->queue[slot]);
    broker->queue_size++;
    (void)broker_client_flush(broker); /* an error stays at the socket, for the loop to see */
}

static BrokerPending *find_pending(BrokerClient *broker, uint32_t id)
{
    for (size_t i = 0; i < BROKER_PENDING_MAX; i++) {
        BrokerPending *pending = &broker->pending[i];

        if (pending->used && pending->id == id)
            return pending;
    }
    return NULL;
}

void broker_client_connect(BrokerClient *broker, Stream *stream, uint32_t port)
{
    BrokerPending *free_slot = NULL;

    assert(!broker_client_is_full(broker));
    for (size_t i = 0; i < BROKER_PENDING_MAX && !free_slot; i++)
        if (!broker->pending[i].used)
            free_slot = &broker->pending[i];
    assert(free_slot);

    /* After 2^32 requests an old one may still be pending. */
    do
        broker->last_id++;
    while (find_pending(broker, broker->last_id));

    *free_slot = (BrokerPending){ .used = true, .id = broker->last_id, .stream = stream };
    broker->n_pending++;
    broker_client_send(broker, BROKER_CONNECT, free_slot->id, port);
}

void broker_client_report_dial(BrokerClient *broker, uint32_t id, int error_number)
{
    broker_client_send(broker, BROKER_DIALED, id, (uint32_t)error_number);
}

void broker_client_forget(BrokerClient *broker, const Stream *stream)
{
    for (size_t i = 0; i < BROKER_PENDING_MAX; i++)
        if (broker->pending[i].stream == stream)
            broker->pending[i].stream = NULL;
}

static int check_message(
    BrokerClient *broker, const BrokerMessage *message, int fd, Stream **ret_stream, Error *error)
{
    if (message->type == BROKER_CONNECT || message->type == BROKER_DIALED)
        return error_set(error, ERROR_INVALID_ARGUMENT, "broker message %d goes the other way",
                         (int)message->type);
    if ((fd >= 0) != (broker_message_type_count_fds(message->type) == 1))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "broker message %d with a wrong number of descriptors",
                         (int)message->type);
    if (fd >= 0 && message->type != BROKER_CAPTURE && !fd_is_unix_stream(fd))
        return error_set(error, ERROR_INVALID_FILE,
                         "the broker's descriptor is no Unix stream socket");

    *ret_stream = NULL;
    if (message->type != BROKER_ACCEPT && message->type != BROKER_REFUSE)
        return 0;

    BrokerPending *pending = find_pending(broker, message->id);
    if (!pending)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the broker answers request %u, which is not pending", message->id);

    *ret_stream = pending->stream;
    *pending = (BrokerPending){ .used = false };
    broker->n_pending--;
    return 0;
}

int broker_client_receive(BrokerClient *broker,
                          BrokerMessage *ret_message,
                          int *ret_fd,
                          Stream **ret_stream,
                          Error *error)
{
    uint8_t bytes[BROKER_MESSAGE_SIZE];
    _cleanup_close_ int fd = -EBADF;
    size_t size, n_fds;

    int r = fd_message_receive(broker->fd, bytes, sizeof(bytes), &size, &fd, 1, &n_fds);
    if (r == -EAGAIN)
        return 0;
    if (r == -EBADMSG)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a broker message is too long");
    if (r < 0)
        return r;
    if (size == 0)
        return -ECONNRESET;

    r = broker_message_decode(bytes, size, ret_message);
    if (r < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a broker message is malformed");

    r = check_message(broker, ret_message, fd, ret_stream, error);
    if (r < 0)
        return r;

    *ret_fd = take_fd(&fd);
    return 1;
}
