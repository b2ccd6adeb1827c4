/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/reset-queue.h"

#include <assert.h>

static ResetTarget *get_slot(ResetQueue *queue, size_t i)
{
    return &queue->targets[(queue->start + i) % RESET_QUEUE_CAPACITY];
}

bool reset_queue_is_full(const ResetQueue *queue)
{
    return queue->size == RESET_QUEUE_CAPACITY;
}

void reset_queue_add(ResetQueue *queue, const VsockPacket *packet)
{
    assert(!reset_queue_is_full(queue));
    *get_slot(queue, queue->size++) = (ResetTarget){
        .host_cid = packet->destination_cid,
        .host_port = packet->destination_port,
        .guest_port = packet->source_port,
    };
}

void reset_queue_forget(ResetQueue *queue, const VsockPacket *packet)
{
    size_t n_kept = 0;

    for (size_t i = 0; i < queue->size; i++) {
        ResetTarget target = *get_slot(queue, i);

        if (target.host_cid != packet->destination_cid ||
            target.host_port != packet->destination_port ||
            target.guest_port != packet->source_port)
            *get_slot(queue, n_kept++) = target;
    }
    queue->size = n_kept;
}

bool reset_queue_take(ResetQueue *queue, VsockPacket *ret_packet)
{
    if (queue->size == 0)
        return false;

    ResetTarget target = *get_slot(queue, 0);
    queue->start = (queue->start + 1) % RESET_QUEUE_CAPACITY;
    queue->size--;
    *ret_packet = (VsockPacket){
        .source_cid = target.host_cid,
        .source_port = target.host_port,
        .destination_port = target.guest_port,
        .type = VSOCK_PACKET_TYPE_STREAM,
        .operation = VSOCK_OPERATION_RESET,
    };
    return true;
}
