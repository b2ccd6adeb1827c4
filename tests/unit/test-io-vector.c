/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/io-vector.h"

#include <string.h>

#include "tests/helpers/test.h"

static void slice_crosses_parts(void **state)
{
    (void)state;
    char bytes[] = "abcdefgh";
    const struct iovec parts[] = { { bytes, 3 }, { bytes + 3, 1 }, { bytes + 4, 4 } };
    struct iovec slice[3];

    assert_int_equal(io_vector_slice(parts, 3, 2, 4, slice), 3);
    assert_ptr_equal(slice[0].iov_base, bytes + 2);
    assert_int_equal(slice[0].iov_len, 1);
    assert_int_equal(slice[1].iov_len, 1);
    assert_int_equal(slice[2].iov_len, 2);
    assert_int_equal(io_vector_slice(parts, 3, 3, 1, slice), 1);
    assert_ptr_equal(slice[0].iov_base, bytes + 3);
    assert_int_equal(io_vector_slice(parts, 3, 0, 8, slice), 3);
    assert_int_equal(io_vector_slice(parts, 3, 8, 0, slice), 0);
}

static void copies_scatter_and_gather(void **state)
{
    (void)state;
    char left[3] = "", right[6] = "", back[7] = "";
    const struct iovec parts[] = { { left, 2 }, { right, 5 } };

    io_vector_copy_in(parts, "xyzuv", 5);
    assert_string_equal(left, "xy");
    assert_string_equal(right, "zuv");
    io_vector_copy_out(parts, back, 5);
    assert_string_equal(back, "xyzuv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_crosses_parts),
        cmocka_unit_test(copies_scatter_and_gather),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
