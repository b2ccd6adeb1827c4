/* SPDX-License-Identifier: Apache-2.0 */
#include "common/byte-ring.h"

#include <string.h>

#include "tests/helpers/test.h"

#define CAPACITY 8

static void assert_tail(const ByteRing *ring, size_t capacity, const char *expected)
{
    char tail[2 * CAPACITY];

    size_t size = byte_ring_copy_tail(ring, tail, capacity);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(tail, expected, size);
}

static void write_text(ByteRing *ring, const char *text)
{
    assert_int_equal(byte_ring_write(ring, text, strlen(text)), 0);
}

static void empty_ring_has_no_tail(void **state)
{
    (void)state;
    ByteRing ring;

    byte_ring_init(&ring, CAPACITY);
    assert_tail(&ring, CAPACITY, "");
    write_text(&ring, "");
    assert_tail(&ring, CAPACITY, "");
    byte_ring_deinit(&ring);
    byte_ring_deinit(&ring);
}

static void newest_bytes_stay_in_order(void **state)
{
    (void)state;
    ByteRing ring;

    byte_ring_init(&ring, CAPACITY);
    write_text(&ring, "abcdef");
    assert_tail(&ring, CAPACITY, "abcdef");
    write_text(&ring, "gh"); /* exactly full */
    assert_tail(&ring, 2 * CAPACITY, "abcdefgh");
    write_text(&ring, "i");
    assert_tail(&ring, CAPACITY, "bcdefghi");
    assert_tail(&ring, 3, "ghi");
    assert_tail(&ring, 0, "");
    write_text(&ring, "jklmnop"); /* across the end */
    assert_tail(&ring, CAPACITY, "ijklmnop");
    assert_true(ring.total == 16);
    byte_ring_deinit(&ring);
}

static void write_larger_than_the_ring_leaves_its_end(void **state)
{
    (void)state;
    ByteRing ring;

    byte_ring_init(&ring, CAPACITY);
    write_text(&ring, "xyz");
    write_text(&ring, "0123456789abcdefghij");
    assert_tail(&ring, CAPACITY, "cdefghij");
    assert_true(ring.total == 23);
    write_text(&ring, "k");
    assert_tail(&ring, CAPACITY, "defghijk");
    byte_ring_deinit(&ring);
}

static void every_split_of_a_text_leaves_the_same_tail(void **state)
{
    (void)state;
    static const char text[] = "the quick brown fox jumps";

    for (size_t split = 0; split < sizeof(text); split++) {
        ByteRing ring;

        byte_ring_init(&ring, CAPACITY);
        assert_int_equal(byte_ring_write(&ring, text, split), 0);
        assert_int_equal(byte_ring_write(&ring, text + split, strlen(text) - split), 0);
        assert_tail(&ring, CAPACITY, text + strlen(text) - CAPACITY);
        byte_ring_deinit(&ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_ring_has_no_tail),
        cmocka_unit_test(newest_bytes_stay_in_order),
        cmocka_unit_test(write_larger_than_the_ring_leaves_its_end),
        cmocka_unit_test(every_split_of_a_text_leaves_the_same_tail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
