/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost-user/virtqueue.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/helpers/test.h"

#include "common/bytes.h"
#include "common/cleanup.h"

#define ENTRIES     8
#define EVENT_INDEX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT    (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)

/* Front-end and guest addresses are offsets into @bytes. */
enum {
    DESCRIPTORS = 0,
    AVAILABLE = 256,
    USED = 512,
    TABLE = 1024,
    DATA = 4096,
    MEMORY = 8192
};

typedef struct Fixture {
    _Alignas(16) uint8_t bytes[MEMORY];
    GuestMemory memory;
    Virtqueue queue;
    uint16_t available_index;
} Fixture;

static const VirtqueueAddresses addresses = {
    .descriptors = DESCRIPTORS,
    .available = AVAILABLE,
    .used = USED,
};

static void start_at(Fixture *fixture, uint16_t base, uint64_t features)
{
    *fixture = (Fixture){ .available_index = base };
    fixture->memory.n_regions = 1;
    fixture->memory.regions[0] = (GuestMemoryRegion){ .size = MEMORY, .data = fixture->bytes };
    fixture->bytes[AVAILABLE + 2] = (uint8_t)base;
    fixture->bytes[AVAILABLE + 3] = (uint8_t)(base >> 8);
    assert_int_equal(
        virtqueue_start(&fixture->queue, &fixture->memory, &addresses, ENTRIES, base, features), 0);
}

static void put_le16(Fixture *fixture, size_t offset, uint16_t value)
{
    fixture->bytes[offset] = (uint8_t)value;
    fixture->bytes[offset + 1] = (uint8_t)(value >> 8);
}

static uint16_t get_le16(const Fixture *fixture, size_t offset)
{
    return (uint16_t)(fixture->bytes[offset] | fixture->bytes[offset + 1] << 8);
}

static void put_descriptor(Fixture *fixture,
                           size_t table,
                           size_t index,
                           uint64_t address,
                           uint32_t size,
                           uint16_t flags,
                           uint16_t next)
{
    ByteWriter writer = byte_writer(fixture->bytes + table + 16 * index, 16);

    byte_writer_put_le64(&writer, address);
    byte_writer_put_le32(&writer, size);
    byte_writer_put_le16(&writer, flags);
    byte_writer_put_le16(&writer, next);
}

static void offer(Fixture *fixture, uint16_t head)
{
    put_le16(fixture, AVAILABLE + 4 + 2U * (fixture->available_index % ENTRIES), head);
    put_le16(fixture, AVAILABLE + 2, ++fixture->available_index);
}

static void start_checks_size_place_and_alignment(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueAddresses bad = addresses;

    start_at(&fixture, 0, 0);
    Virtqueue *queue = &fixture.queue;
    const GuestMemory *memory = &fixture.memory;
    assert_int_equal(virtqueue_start(queue, memory, &addresses, 0, 0, 0), -EINVAL);
    assert_int_equal(virtqueue_start(queue, memory, &addresses, 7, 0, 0), -EINVAL);
    assert_int_equal(virtqueue_start(queue, memory, &addresses, 2048, 0, 0), -EINVAL);
    assert_int_equal(virtqueue_start(queue, memory, &addresses, 1024, 0, 0), -EFAULT);
    bad.descriptors = 8;
    assert_int_equal(virtqueue_start(queue, memory, &bad, ENTRIES, 0, 0), -EFAULT);
    bad = addresses;
    bad.available++;
    assert_int_equal(virtqueue_start(queue, memory, &bad, ENTRIES, 0, 0), -EFAULT);
    bad = addresses;
    bad.used += 2;
    assert_int_equal(virtqueue_start(queue, memory, &bad, ENTRIES, 0, 0), -EFAULT);
    bad.used = MEMORY - 8 * ENTRIES; /* its last field would be outside */
    assert_int_equal(virtqueue_start(queue, memory, &bad, ENTRIES, 0, 0), -EFAULT);
    bad.used = UINT64_MAX - 3;
    assert_int_equal(virtqueue_start(queue, memory, &bad, ENTRIES, 0, 0), -EFAULT);
}

static void chain_is_taken_once_and_completed(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    start_at(&fixture, 0, 0);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 0);
    put_descriptor(&fixture, DESCRIPTORS, 3, DATA, 10, VRING_DESC_F_NEXT, 5);
    put_descriptor(&fixture, DESCRIPTORS, 5, DATA + 100, 20, VRING_DESC_F_WRITE, 0);
    offer(&fixture, 3);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 1);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 1); /* it stays there */
    assert_int_equal(chain.n_readable, 1);
    assert_int_equal(chain.n_writable, 1);
    assert_int_equal(chain.readable_size, 10);
    assert_int_equal(chain.writable_size, 20);
    assert_ptr_equal(chain.parts[1].iov_base, fixture.bytes + DATA + 100);
    virtqueue_complete(&fixture.queue, &chain, 7);
    assert_int_equal(get_le16(&fixture, USED + 2), 1);
    assert_int_equal(get_le16(&fixture, USED + 4), 3);
    assert_int_equal(get_le16(&fixture, USED + 8), 7);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 0);
}

static void indices_wrap_at_65536(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    start_at(&fixture, 65535, EVENT_INDEX);
    put_descriptor(&fixture, DESCRIPTORS, 0, DATA, 1, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        offer(&fixture, 0);
        assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 1);
        virtqueue_complete(&fixture.queue, &chain, 0);
        assert_int_equal(get_le16(&fixture, USED + 2), i);
    }
}

static void available_index_may_be_a_full_ring_ahead_and_no_more(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    start_at(&fixture, 0, 0);
    put_descriptor(&fixture, DESCRIPTORS, 0, DATA, 1, 0, 0);
    put_le16(&fixture, AVAILABLE + 2, ENTRIES);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 1);
    put_le16(&fixture, AVAILABLE + 2, ENTRIES + 1);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), -EBADMSG);
}

static void chain_of_64_is_taken_and_one_of_65_is_not(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    for (uint32_t length = VIRTQUEUE_CHAIN_MAX; length <= VIRTQUEUE_CHAIN_MAX + 1; length++) {
        start_at(&fixture, 0, INDIRECT);
        for (uint16_t i = 0; i < length; i++)
            put_descriptor(&fixture, TABLE, i, DATA, 1, i + 1U < length ? VRING_DESC_F_NEXT : 0,
                           (uint16_t)(i + 1));
        put_descriptor(&fixture, DESCRIPTORS, 0, TABLE, 16 * length, VRING_DESC_F_INDIRECT, 0);
        offer(&fixture, 0);
        assert_int_equal(virtqueue_peek(&fixture.queue, &chain),
                         length == VIRTQUEUE_CHAIN_MAX ? 1 : -EBADMSG);
    }
}

static void indirect_table_need_not_be_aligned(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    start_at(&fixture, 0, INDIRECT);
    put_descriptor(&fixture, TABLE + 1, 0, DATA, 9, 0, 0);
    put_descriptor(&fixture, DESCRIPTORS, 0, TABLE + 1, 16, VRING_DESC_F_INDIRECT, 0);
    offer(&fixture, 0);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), 1);
    assert_int_equal(chain.readable_size, 9);
}

static void broken_chains_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t address;
        uint32_t size;
        uint16_t flags;
        uint16_t next;
    } firsts[] = {
        { DATA, 0, 0, 0 },
        { MEMORY - 1, 2, 0, 0 },
        { UINT64_MAX, 2, 0, 0 },
        { DATA, 1, VRING_DESC_F_NEXT, 0 },                      /* a loop */
        { DATA, 1, VRING_DESC_F_NEXT, ENTRIES },                /* outside the table */
        { DATA, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 }, /* 1 is to be read */
        { DATA, 1, VRING_DESC_F_NEXT, 2 },                      /* 2 is a table */
        { TABLE, 0, VRING_DESC_F_INDIRECT, 0 },
        { TABLE, 17, VRING_DESC_F_INDIRECT, 0 },
        { MEMORY, 16, VRING_DESC_F_INDIRECT, 0 },
        { TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 },
        { TABLE, 16, VRING_DESC_F_INDIRECT, 0 }, /* the table holds a table */
    };

    for (size_t i = 0; i < ELEMENTS_OF(firsts); i++) {
        Fixture fixture;
        VirtqueueChain chain;

        start_at(&fixture, 0, INDIRECT);
        put_descriptor(&fixture, DESCRIPTORS, 0, firsts[i].address, firsts[i].size, firsts[i].flags,
                       firsts[i].next);
        put_descriptor(&fixture, DESCRIPTORS, 1, DATA, 1, 0, 0);
        put_descriptor(&fixture, DESCRIPTORS, 2, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
        put_descriptor(&fixture, TABLE, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
        offer(&fixture, 0);
        assert_int_equal(virtqueue_peek(&fixture.queue, &chain), -EBADMSG);
    }
}

static void head_outside_the_table_and_unasked_tables_are_refused(void **state)
{
    (void)state;
    Fixture fixture;
    VirtqueueChain chain;

    start_at(&fixture, 0, 0);
    offer(&fixture, ENTRIES);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), -EBADMSG);

    start_at(&fixture, 0, 0);
    put_descriptor(&fixture, TABLE, 0, DATA, 1, 0, 0);
    put_descriptor(&fixture, DESCRIPTORS, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
    offer(&fixture, 0);
    assert_int_equal(virtqueue_peek(&fixture.queue, &chain), -EBADMSG);
}

static void complete_one(Fixture *fixture)
{
    VirtqueueChain chain;

    put_descriptor(fixture, DESCRIPTORS, 0, DATA, 1, 0, 0);
    offer(fixture, 0);
    assert_int_equal(virtqueue_peek(&fixture->queue, &chain), 1);
    virtqueue_complete(&fixture->queue, &chain, 0);
}

static void driver_is_notified_unless_it_says_otherwise(void **state)
{
    (void)state;
    Fixture fixture;

    start_at(&fixture, 0, 0);
    assert_false(virtqueue_should_notify(&fixture.queue));
    complete_one(&fixture);
    assert_true(virtqueue_should_notify(&fixture.queue));
    assert_false(virtqueue_should_notify(&fixture.queue));
    put_le16(&fixture, AVAILABLE, VRING_AVAIL_F_NO_INTERRUPT);
    complete_one(&fixture);
    assert_false(virtqueue_should_notify(&fixture.queue));
}

static void driver_is_notified_when_its_event_index_is_passed(void **state)
{
    (void)state;
    Fixture fixture;
    const size_t used_event = AVAILABLE + 4 + 2 * ENTRIES;

    start_at(&fixture, 65534, EVENT_INDEX);
    put_le16(&fixture, used_event, 0);
    complete_one(&fixture); /* 65534 */
    assert_false(virtqueue_should_notify(&fixture.queue));
    complete_one(&fixture); /* 65535 */
    complete_one(&fixture); /* 0 */
    assert_true(virtqueue_should_notify(&fixture.queue));
    complete_one(&fixture);
    assert_false(virtqueue_should_notify(&fixture.queue));
}

static void kicks_are_asked_for_and_suppressed(void **state)
{
    (void)state;
    Fixture fixture;

    start_at(&fixture, 0, 0);
    virtqueue_suppress_kicks(&fixture.queue);
    assert_int_equal(get_le16(&fixture, USED), VRING_USED_F_NO_NOTIFY);
    assert_false(virtqueue_request_kick(&fixture.queue));
    assert_int_equal(get_le16(&fixture, USED), 0);

    start_at(&fixture, 0, EVENT_INDEX);
    complete_one(&fixture);
    assert_false(virtqueue_request_kick(&fixture.queue));
    assert_int_equal(get_le16(&fixture, USED + 4 + 8 * ENTRIES), 1);
    offer(&fixture, 0);
    assert_true(virtqueue_request_kick(&fixture.queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_checks_size_place_and_alignment),
        cmocka_unit_test(chain_is_taken_once_and_completed),
        cmocka_unit_test(indices_wrap_at_65536),
        cmocka_unit_test(available_index_may_be_a_full_ring_ahead_and_no_more),
        cmocka_unit_test(chain_of_64_is_taken_and_one_of_65_is_not),
        cmocka_unit_test(indirect_table_need_not_be_aligned),
        cmocka_unit_test(broken_chains_are_refused),
        cmocka_unit_test(head_outside_the_table_and_unasked_tables_are_refused),
        cmocka_unit_test(driver_is_notified_unless_it_says_otherwise),
        cmocka_unit_test(driver_is_notified_when_its_event_index_is_passed),
        cmocka_unit_test(kicks_are_asked_for_and_suppressed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
