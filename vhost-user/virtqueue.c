/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of the ring are read and written by offset rather than through <linux/virtio_ring.h>'s
 * structs: indirect tables need not be aligned, and an access is then always a visible single
 * load or copy, which the compiler cannot repeat. */
#include "vhost-user/virtqueue.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "common/bytes.h"

#define DESCRIPTOR_SIZE      16
#define AVAILABLE_INDEX      2 /* offsets; both rings: flags, index, entries, event index */
#define AVAILABLE_RING       4
#define AVAILABLE_ENTRY_SIZE 2
#define USED_INDEX           2
#define USED_RING            4
#define USED_ENTRY_SIZE      8
#define EVENT_INDEX_SIZE     2

typedef struct Descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
} Descriptor;

/* The rings are at least 2-aligned: resolve() checks. */
static uint16_t load_le16(const uint8_t *from)
{
    return le16toh(__atomic_load_n((const uint16_t *)(const void *)from, __ATOMIC_ACQUIRE));
}

static void store_le16(uint8_t *to, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)to, htole16(value), __ATOMIC_RELEASE);
}

static uint8_t *event_field(const Virtqueue *queue) /* the device's: kick me after this one */
{
    return queue->used + USED_RING + (size_t)queue->size * USED_ENTRY_SIZE;
}

static const uint8_t *used_event_field(const Virtqueue *queue) /* the driver's */
{
    return queue->available + AVAILABLE_RING + (size_t)queue->size * AVAILABLE_ENTRY_SIZE;
}

static int resolve(Virtqueue *queue, const VirtqueueAddresses *addresses)
{
    uint64_t entries = queue->size;
    uint8_t *descriptors =
        guest_memory_find_user(queue->memory, addresses->descriptors, entries * DESCRIPTOR_SIZE);
    uint8_t *available =
        guest_memory_find_user(queue->memory, addresses->available,
                               AVAILABLE_RING + entries * AVAILABLE_ENTRY_SIZE + EVENT_INDEX_SIZE);
    uint8_t *used = guest_memory_find_user(
        queue->memory, addresses->used, USED_RING + entries * USED_ENTRY_SIZE + EVENT_INDEX_SIZE);

    /* The alignment of the pointers counts, not that of the addresses: a region may start at any
     * offset of its file. */
    if (!descriptors || (uintptr_t)descriptors % VRING_DESC_ALIGN_SIZE != 0 || !available ||
        (uintptr_t)available % VRING_AVAIL_ALIGN_SIZE != 0 || !used ||
        (uintptr_t)used % VRING_USED_ALIGN_SIZE != 0)
        return -EFAULT;

    queue->descriptors = descriptors;
    queue->available = available;
    queue->used = used;
    return 0;
}

int virtqueue_start(Virtqueue *queue,
                    const GuestMemory *memory,
                    const VirtqueueAddresses *addresses,
                    uint32_t size,
                    uint16_t base,
                    uint64_t features)
{
    if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
        return -EINVAL;

    Virtqueue fresh = {
        .memory = memory,
        .size = (uint16_t)size,
        .next = base,
        .notified = base,
        .has_event_index = features & (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
        .has_indirect = features & (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC),
    };
    int r = resolve(&fresh, addresses);
    if (r < 0)
        return r;

    *queue = fresh;
    return 0;
}

int virtqueue_remap(Virtqueue *queue, const VirtqueueAddresses *addresses)
{
    return resolve(queue, addresses);
}

void virtqueue_stop(Virtqueue *queue)
{
    queue->memory = NULL;
    queue->descriptors = queue->available = queue->used = NULL;
}

/* Copies an entry of a table that the guest may be writing. The fence keeps the compiler from
 * reading the table a second time in place of the copy. */
static Descriptor descriptor_copy(const uint8_t *table, size_t index)
{
    uint8_t bytes[DESCRIPTOR_SIZE];
    Descriptor descriptor = { 0 };

    memcpy(bytes, table + index * DESCRIPTOR_SIZE, sizeof(bytes));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);

    ByteReader reader = byte_reader(bytes, sizeof(bytes));
    (void)byte_reader_get_le64(&reader, &descriptor.address); /* the buffer has its size */
    (void)byte_reader_get_le32(&reader, &descriptor.size);
    (void)byte_reader_get_le16(&reader, &descriptor.flags);
    (void)byte_reader_get_le16(&reader, &descriptor.next);
    return descriptor;
}

static int chain_add(VirtqueueChain *chain, const GuestMemory *memory, const Descriptor *descriptor)
{
    size_t n_parts = chain->n_readable + chain->n_writable;
    bool writable = descriptor->flags & VRING_DESC_F_WRITE;

    if (n_parts == VIRTQUEUE_CHAIN_MAX || descriptor->size == 0 ||
        (!writable && chain->n_writable > 0))
        return -EBADMSG;

    uint8_t *data = guest_memory_find(memory, descriptor->address, descriptor->size);
    if (!data)
        return -EBADMSG;

    chain->parts[n_parts] = (struct iovec){ .iov_base = data, .iov_len = descriptor->size };
    if (writable) {
        chain->n_writable++;
        chain->writable_size += descriptor->size;
    } else {
        chain->n_readable++;
        chain->readable_size += descriptor->size;
    }
    return 0;
}

/* Follows a chain from @descriptor through @table. Every step adds a part, so that a loop ends at
 * VIRTQUEUE_CHAIN_MAX. */
static int chain_walk(VirtqueueChain *chain,
                      const GuestMemory *memory,
                      const uint8_t *table,
                      size_t table_size,
                      Descriptor descriptor)
{
    for (;;) {
        if (descriptor.flags & VRING_DESC_F_INDIRECT)
            return -EBADMSG;

        int r = chain_add(chain, memory, &descriptor);
        if (r < 0)
            return r;

        if (!(descriptor.flags & VRING_DESC_F_NEXT))
            return 0;
        if (descriptor.next >= table_size)
            return -EBADMSG;
        descriptor = descriptor_copy(table, descriptor.next);
    }
}

/* An indirect table stands alone: first in its chain, with nothing after it, and not nested. */
static int chain_walk_indirect(VirtqueueChain *chain,
                               const Virtqueue *queue,
                               const Descriptor *descriptor)
{
    if (!queue->has_indirect || descriptor->flags & VRING_DESC_F_NEXT || descriptor->size == 0 ||
        descriptor->size % DESCRIPTOR_SIZE != 0)
        return -EBADMSG;

    const uint8_t *table = guest_memory_find(queue->memory, descriptor->address, descriptor->size);
    if (!table)
        return -EBADMSG;

    return chain_walk(chain, queue->memory, table, descriptor->size / DESCRIPTOR_SIZE,
                      descriptor_copy(table, 0));
}

int virtqueue_peek(const Virtqueue *queue, VirtqueueChain *ret_chain)
{
    assert(queue->memory);

    uint16_t ahead = (uint16_t)(load_le16(queue->available + AVAILABLE_INDEX) - queue->next);
    if (ahead == 0)
        return 0;
    if (ahead > queue->size)
        return -EBADMSG;

    size_t slot = queue->next & (queue->size - 1U);
    uint16_t head = load_le16(queue->available + AVAILABLE_RING + slot * AVAILABLE_ENTRY_SIZE);
    if (head >= queue->size)
        return -EBADMSG;

    ret_chain->head = head;
    ret_chain->n_readable = ret_chain->n_writable = 0;
    ret_chain->readable_size = ret_chain->writable_size = 0;

    Descriptor first = descriptor_copy(queue->descriptors, head);
    int r = first.flags & VRING_DESC_F_INDIRECT
                ? chain_walk_indirect(ret_chain, queue, &first)
                : chain_walk(ret_chain, queue->memory, queue->descriptors, queue->size, first);
    return r < 0 ? r : 1;
}

void virtqueue_complete(Virtqueue *queue, const VirtqueueChain *chain, uint32_t written)
{
    size_t slot = queue->next & (queue->size - 1U);
    uint8_t entry[USED_ENTRY_SIZE];
    ByteWriter writer = byte_writer(entry, sizeof(entry));

    byte_writer_put_le32(&writer, chain->head);
    byte_writer_put_le32(&writer, written);
    memcpy(queue->used + USED_RING + slot * USED_ENTRY_SIZE, entry, sizeof(entry));
    queue->next++;
    store_le16(queue->used + USED_INDEX, queue->next);
}

bool virtqueue_should_notify(Virtqueue *queue)
{
    /* The driver may have asked just before it last looked at the used index: our store of the
     * index must be out before its wish is read (VIRTIO 1.2, 2.7.7.2). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    uint16_t before = queue->notified;
    queue->notified = queue->next;
    if (before == queue->next)
        return false;

    if (!queue->has_event_index)
        return !(load_le16(queue->available) & VRING_AVAIL_F_NO_INTERRUPT);

    return vring_need_event(load_le16(used_event_field(queue)), queue->next, before);
}

void virtqueue_suppress_kicks(Virtqueue *queue)
{
    /* With event indices the driver kicks once, when it passes the one left there, and no more. */
    if (!queue->has_event_index)
        store_le16(queue->used, VRING_USED_F_NO_NOTIFY);
}

bool virtqueue_request_kick(Virtqueue *queue)
{
    if (queue->has_event_index)
        store_le16(event_field(queue), queue->next);
    else
        store_le16(queue->used, 0);

    /* Either the driver sees the wish, or we see its chain: never neither. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return load_le16(queue->available + AVAILABLE_INDEX) != queue->next;
}
