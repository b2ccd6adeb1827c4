/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/stream-buffer.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static char pattern[STREAM_BUFFER_CAPACITY];

static void bytes_come_out_in_order_across_the_end_of_the_ring(void **state)
{
    (void)state;
    StreamBuffer buffer = { .size = 0 };
    struct iovec parts[2];
    size_t step = STREAM_BUFFER_CAPACITY - 3;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i * 7 % 251);
    struct iovec first = { pattern, step };
    assert_int_equal(stream_buffer_append(&buffer, &first, 1), 0);
    stream_buffer_consume(&buffer, step - 1); /* one byte stays, so the position does too */

    struct iovec second[] = { { pattern, 2 }, { pattern + 2, 8 } };
    assert_int_equal(stream_buffer_append(&buffer, second, 2), 0);
    assert_int_equal(stream_buffer_get_parts(&buffer, parts), 2);
    assert_int_equal(parts[0].iov_len + parts[1].iov_len, 11);
    assert_memory_equal((char *)parts[0].iov_base + 1, pattern, 3);
    assert_memory_equal(parts[1].iov_base, pattern + 3, 7);
    stream_buffer_deinit(&buffer);
}

static void memory_is_held_only_with_bytes(void **state)
{
    (void)state;
    StreamBuffer buffer = { .size = 0 };
    struct iovec part = { pattern, 10 };
    struct iovec parts[2];

    assert_int_equal(stream_buffer_get_parts(&buffer, parts), 0);
    assert_int_equal(stream_buffer_append(&buffer, &part, 1), 0);
    assert_non_null(buffer.data);
    stream_buffer_consume(&buffer, 10);
    assert_null(buffer.data);
}

static void full_buffer_takes_no_more(void **state)
{
    (void)state;
    StreamBuffer buffer = { .size = 0 };
    struct iovec parts[] = { { pattern, STREAM_BUFFER_CAPACITY }, { pattern, 1 } };

    assert_int_equal(stream_buffer_append(&buffer, parts, 2), -ENOBUFS);
    assert_int_equal(stream_buffer_append(&buffer, parts, 1), 0);
    assert_int_equal(stream_buffer_append(&buffer, parts + 1, 1), -ENOBUFS);
    stream_buffer_deinit(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_order_across_the_end_of_the_ring),
        cmocka_unit_test(memory_is_held_only_with_bytes),
        cmocka_unit_test(full_buffer_takes_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
