/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/broker.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "protocol/broker-message.h"

#define DIALS_MAX 64
#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

struct Broker {
    int fd;
    sd_event_source *io;
    const BrokerHandlers *handlers;
    void *userdata;
    uint32_t dials[DIALS_MAX]; /* ids on their way */
    size_t n_dials;
};

static void broker_fail(Broker *broker, const char *sentence)
{
    if (!broker->io)
        return;
    broker->io = sd_event_source_disable_unref(broker->io);
    broker->handlers->failed(broker->userdata, sentence);
}

static int broker_send(Broker *broker, BrokerMessageType type, uint32_t id, uint32_t value, int fd)
{
    const BrokerMessage message = { .type = type, .id = id, .value = value };
    uint8_t bytes[BROKER_MESSAGE_SIZE];

    broker_message_encode(&message, bytes);
    return fd_message_send(broker->fd, bytes, sizeof(bytes), &fd,
                           broker_message_type_count_fds(type));
}

static void answer_connect(Broker *broker, uint32_t id, uint32_t port)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (broker->handlers->connect(broker->userdata, port, &fd) < 0)
        r = broker_send(broker, BROKER_REFUSE, id, 0, -EBADF);
    else
        r = broker_send(broker, BROKER_ACCEPT, id, 0, fd);
    if (r < 0)
        broker_fail(broker, "vsock-device does not read its broker's answers");
}

/* -EBADMSG for an id that is not on its way. */
static int forget_dial(Broker *broker, uint32_t id)
{
    for (size_t i = 0; i < broker->n_dials; i++) {
        if (broker->dials[i] == id) {
            broker->dials[i] = broker->dials[--broker->n_dials];
            return 0;
        }
    }
    return -EBADMSG;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Broker *broker = userdata;
    uint8_t bytes[BROKER_MESSAGE_SIZE];
    BrokerMessage message;
    size_t size, n_fds;

    (void)source;
    (void)revents;
    /* No room for descriptors: none travel up. */
    int r = fd_message_receive(fd, bytes, sizeof(bytes), &size, NULL, 0, &n_fds);
    if (r == -EAGAIN)
        return 0;
    if (r >= 0 && size == 0)
        r = -ECONNRESET;
    if (r >= 0)
        r = broker_message_decode(bytes, size, &message);
    if (r < 0) {
        broker_fail(broker, r == -EBADMSG ? "vsock-device breaks the broker's protocol"
                                          : "vsock-device is gone");
        return 0;
    }

    if (message.type == BROKER_CONNECT)
        answer_connect(broker, message.id, message.value);
    else if (message.type == BROKER_DIALED && message.value <= ERRNO_MAX &&
             forget_dial(broker, message.id) >= 0)
        broker->handlers->dialed(broker->userdata, message.id, (int)message.value);
    else
        broker_fail(broker, "vsock-device breaks the broker's protocol");
    return 0;
}

int broker_new(
    sd_event *event, int fd, const BrokerHandlers *handlers, void *userdata, Broker **ret_broker)
{
    Broker *broker = calloc(1, sizeof(*broker));
    if (!broker) {
        (void)fd_close(fd);
        return -ENOMEM;
    }

    broker->fd = fd;
    broker->handlers = handlers;
    broker->userdata = userdata;
    int r = sd_event_add_io(event, &broker->io, fd, EPOLLIN, on_io, broker);
    if (r < 0) {
        broker_free(broker);
        return r;
    }

    (void)sd_event_source_set_description(broker->io, "broker");
    *ret_broker = broker;
    return 0;
}

Broker *broker_free(Broker *broker)
{
    if (!broker)
        return NULL;

    sd_event_source_disable_unref(broker->io);
    (void)fd_close(broker->fd);
    free(broker);
    return NULL;
}

int broker_dial(Broker *broker, uint32_t id, uint32_t port, int fd)
{
    if (broker->n_dials == DIALS_MAX)
        return -EBUSY;

    int r = broker_send(broker, BROKER_DIAL, id, port, fd);
    if (r < 0)
        return r;

    broker->dials[broker->n_dials++] = id;
    return 0;
}

int broker_capture(Broker *broker, int fd)
{
    return broker_send(broker, BROKER_CAPTURE, 0, 0, fd);
}
