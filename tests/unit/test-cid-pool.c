/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/cid-pool.h"

#include <errno.h>

#include "tests/helpers/test.h"

static void ids_are_handed_out_from_the_lowest_on(void **state)
{
    (void)state;
    CidPool pool = { 0 };

    for (uint32_t i = 0; i < 10; i++) {
        uint32_t cid = 0;

        assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
        assert_int_equal(cid, LAUNCH_SPEC_CID_MIN + i);
    }
}

static void id_given_back_is_not_reused_soon(void **state)
{
    (void)state;
    CidPool pool = { 0 };
    uint32_t first = 0, next = 0;

    assert_int_equal(cid_pool_acquire(&pool, &first), 0);
    cid_pool_release(&pool, first);
    /* All others come before it comes again. */
    for (uint32_t i = 1; i < CID_COUNT; i++) {
        assert_int_equal(cid_pool_acquire(&pool, &next), 0);
        assert_int_not_equal(next, first);
        cid_pool_release(&pool, next);
    }
    assert_int_equal(next, LAUNCH_SPEC_CID_MAX);
    assert_int_equal(cid_pool_acquire(&pool, &next), 0);
    assert_int_equal(next, first);
}

static void exhausted_pool_says_so_until_one_comes_back(void **state)
{
    (void)state;
    CidPool pool = { 0 };
    uint32_t cid = 0;

    for (uint32_t i = 0; i < CID_COUNT; i++)
        assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
    assert_int_equal(cid, LAUNCH_SPEC_CID_MAX);
    cid = 42;
    assert_int_equal(cid_pool_acquire(&pool, &cid), -EADDRNOTAVAIL);
    assert_int_equal(cid, 42);

    cid_pool_release(&pool, LAUNCH_SPEC_CID_MIN + 4711);
    assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
    assert_int_equal(cid, LAUNCH_SPEC_CID_MIN + 4711);
    assert_int_equal(cid_pool_acquire(&pool, &cid), -EADDRNOTAVAIL);

    cid_pool_release(&pool, LAUNCH_SPEC_CID_MAX);
    assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
    assert_int_equal(cid, LAUNCH_SPEC_CID_MAX);
}

static void one_that_is_taken_is_not_handed_out_nor_taken_again(void **state)
{
    (void)state;
    CidPool pool = { 0 };
    uint32_t cid;

    assert_int_equal(cid_pool_take(&pool, LAUNCH_SPEC_CID_MIN + 7), 0);
    assert_int_equal(cid_pool_take(&pool, LAUNCH_SPEC_CID_MIN + 7), -EADDRINUSE);
    assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
    assert_int_equal(cid, LAUNCH_SPEC_CID_MIN + 8); /* what was below may just have been used */
    for (uint32_t i = 0; i < CID_COUNT - 2; i++) {
        assert_int_equal(cid_pool_acquire(&pool, &cid), 0);
        assert_int_not_equal(cid, LAUNCH_SPEC_CID_MIN + 7);
    }
    assert_int_equal(cid_pool_acquire(&pool, &cid), -EADDRNOTAVAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_handed_out_from_the_lowest_on),
        cmocka_unit_test(id_given_back_is_not_reused_soon),
        cmocka_unit_test(one_that_is_taken_is_not_handed_out_nor_taken_again),
        cmocka_unit_test(exhausted_pool_says_so_until_one_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
