/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/vsock-connection.h"

#include <assert.h>

/* Telling the guest earlier costs packets, later stalls it: a quarter was measured to do neither.
 */
#define CREDIT_UPDATE_STEP (VSOCK_BUFFER_SIZE / 4)

void vsock_connection_init_from_guest(VsockConnection *connection, const VsockPacket *request)
{
    *connection = (VsockConnection){
        .state = VSOCK_WAITING_FOR_HOST,
        .host_port = request->destination_port,
        .guest_port = request->source_port,
        .guest_buffer_size = request->buffer_size,
        .guest_forwarded = request->forwarded_count,
    };
}

void vsock_connection_init_from_host(VsockConnection *connection,
                                     uint32_t host_port,
                                     uint32_t guest_port)
{
    *connection = (VsockConnection){
        .state = VSOCK_REQUESTING,
        .host_port = host_port,
        .guest_port = guest_port,
        .greeting = VSOCK_OPERATION_REQUEST,
    };
}

void vsock_connection_accept(VsockConnection *connection)
{
    assert(connection->state == VSOCK_WAITING_FOR_HOST);
    connection->state = VSOCK_ESTABLISHED;
    connection->greeting = VSOCK_OPERATION_RESPONSE;
}

uint32_t vsock_connection_count_buffered(const VsockConnection *connection)
{
    return connection->received - connection->forwarded;
}

/* A guest that will neither send nor receive waits for our RESET, which may only come when all it
 * sent has reached the host. */
static void reset_when_done(VsockConnection *connection)
{
    if (connection->state == VSOCK_ESTABLISHED &&
        connection->guest_shutdown == VSOCK_SHUTDOWN_BOTH &&
        vsock_connection_count_buffered(connection) == 0)
        connection->state = VSOCK_RESETTING;
}

static VsockEvent violate(VsockConnection *connection)
{
    connection->state = VSOCK_RESETTING;
    return VSOCK_EVENT_VIOLATION;
}

static VsockEvent receive_answer(VsockConnection *connection, const VsockPacket *packet)
{
    /* An answer to what was not asked yet is none. */
    if (packet->operation == VSOCK_OPERATION_RESPONSE && !connection->greeting) {
        connection->state = VSOCK_ESTABLISHED;
        return VSOCK_EVENT_OPENED;
    }

    connection->state =
        packet->operation == VSOCK_OPERATION_RESET ? VSOCK_DETACHED : VSOCK_RESETTING;
    return VSOCK_EVENT_REFUSED;
}

static VsockEvent receive_established(VsockConnection *connection, const VsockPacket *packet)
{
    switch (packet->operation) {
    case VSOCK_OPERATION_DATA:
        if (connection->guest_shutdown & VSOCK_SHUTDOWN_SEND ||
            packet->size > VSOCK_BUFFER_SIZE - vsock_connection_count_buffered(connection))
            return violate(connection);
        connection->received += packet->size;
        return VSOCK_EVENT_DATA;

    case VSOCK_OPERATION_SHUTDOWN:
        connection->guest_shutdown |= packet->flags & VSOCK_SHUTDOWN_BOTH;
        reset_when_done(connection);
        return VSOCK_EVENT_SHUTDOWN;

    case VSOCK_OPERATION_CREDIT_REQUEST:
        connection->owes_credit_update = true;
        return VSOCK_EVENT_NONE;

    case VSOCK_OPERATION_CREDIT_UPDATE:
        return VSOCK_EVENT_NONE;

    default:
        return violate(connection);
    }
}

VsockEvent vsock_connection_receive(VsockConnection *connection, const VsockPacket *packet)
{
    connection->guest_buffer_size = packet->buffer_size;
    connection->guest_forwarded = packet->forwarded_count;
    /* Only then: a guest answers each request at once, with no credit while it does not read. */
    if (vsock_connection_get_credit(connection) > 0)
        connection->has_requested_credit = false;

    if (connection->state == VSOCK_REQUESTING)
        return receive_answer(connection, packet);
    if (packet->operation == VSOCK_OPERATION_RESET) {
        connection->state = VSOCK_DETACHED;
        return VSOCK_EVENT_GONE;
    }
    if (connection->state == VSOCK_RESETTING)
        return VSOCK_EVENT_NONE; /* sent before our RESET reached it */
    if (connection->state == VSOCK_ESTABLISHED)
        return receive_established(connection, packet);
    return violate(connection); /* no guest sends before it has been answered */
}

void vsock_connection_forward(VsockConnection *connection, uint32_t size)
{
    connection->forwarded += size;
    if (connection->forwarded - connection->announced >= CREDIT_UPDATE_STEP)
        connection->owes_credit_update = true;
    reset_when_done(connection);
}

void vsock_connection_end_host(VsockConnection *connection, unsigned flags)
{
    connection->host_shutdown |= flags;
}

void vsock_connection_reset(VsockConnection *connection)
{
    bool is_unknown_to_guest =
        connection->state == VSOCK_REQUESTING && connection->greeting == VSOCK_OPERATION_REQUEST;

    connection->state = is_unknown_to_guest ? VSOCK_DETACHED : VSOCK_RESETTING;
}

void vsock_connection_detach(VsockConnection *connection)
{
    connection->state = VSOCK_DETACHED;
}

bool vsock_connection_can_send(const VsockConnection *connection)
{
    return connection->state == VSOCK_ESTABLISHED &&
           !(connection->guest_shutdown & VSOCK_SHUTDOWN_RECEIVE) &&
           !(connection->host_shutdown & VSOCK_SHUTDOWN_SEND);
}

uint32_t vsock_connection_get_credit(const VsockConnection *connection)
{
    uint32_t in_flight = connection->sent - connection->guest_forwarded;

    /* A guest may shrink its buffer, or lie. */
    return in_flight < connection->guest_buffer_size ? connection->guest_buffer_size - in_flight
                                                     : 0;
}

void vsock_connection_want_credit(VsockConnection *connection)
{
    if (!connection->has_requested_credit)
        connection->owes_credit_request = true;
}

static VsockOperation next_control(const VsockConnection *connection)
{
    if (connection->state == VSOCK_RESETTING)
        return VSOCK_OPERATION_RESET;
    if (connection->state == VSOCK_DETACHED)
        return VSOCK_OPERATION_INVALID;
    if (connection->greeting)
        return connection->greeting;
    if (connection->state != VSOCK_ESTABLISHED)
        return VSOCK_OPERATION_INVALID;
    if (connection->host_shutdown & ~connection->told_shutdown)
        return VSOCK_OPERATION_SHUTDOWN;
    if (connection->owes_credit_request)
        return VSOCK_OPERATION_CREDIT_REQUEST;
    if (connection->owes_credit_update)
        return VSOCK_OPERATION_CREDIT_UPDATE;
    return VSOCK_OPERATION_INVALID;
}

bool vsock_connection_has_control(const VsockConnection *connection)
{
    return next_control(connection) != VSOCK_OPERATION_INVALID;
}

/* Every packet tells of our credit. The addresses of both sides are for the caller. */
static void fill_packet(VsockConnection *connection,
                        VsockOperation operation,
                        VsockPacket *ret_packet)
{
    *ret_packet = (VsockPacket){
        .source_port = connection->host_port,
        .destination_port = connection->guest_port,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = (uint16_t)operation,
        .buffer_size = VSOCK_BUFFER_SIZE,
        .forwarded_count = connection->forwarded,
    };
    connection->announced = connection->forwarded;
    connection->owes_credit_update = false;
}

VsockOperation vsock_connection_take_control(VsockConnection *connection, VsockPacket *ret_packet)
{
    VsockOperation operation = next_control(connection);

    assert(operation != VSOCK_OPERATION_INVALID);
    fill_packet(connection, operation, ret_packet);
    if (operation == VSOCK_OPERATION_RESET) {
        connection->state = VSOCK_DETACHED;
    } else if (operation == VSOCK_OPERATION_SHUTDOWN) {
        ret_packet->flags = connection->host_shutdown;
        connection->told_shutdown = connection->host_shutdown;
    } else if (operation == VSOCK_OPERATION_CREDIT_REQUEST) {
        connection->owes_credit_request = false;
        connection->has_requested_credit = true;
    } else if (operation == connection->greeting) {
        connection->greeting = VSOCK_OPERATION_INVALID;
    }
    return operation;
}

void vsock_connection_take_data(VsockConnection *connection, uint32_t size, VsockPacket *ret_packet)
{
    assert(vsock_connection_can_send(connection) &&
           size <= vsock_connection_get_credit(connection));
    fill_packet(connection, VSOCK_OPERATION_DATA, ret_packet);
    ret_packet->size = size;
    connection->sent += size;
}
