/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/signature-algorithm.h"

#include "tests/helpers/test.h"

static void finds_each_algorithm_by_its_number(void **state)
{
    static const SignatureAlgorithmId ids[] = {
        0x0101, 0x0102, 0x0103, 0x0104, 0x0201, 0x0202, 0x0301, 0x0421, 0x0423, 0x0425,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const SignatureAlgorithm *algorithm = signature_algorithm_find(ids[i]);

        assert_non_null(algorithm);
        assert_int_equal(algorithm->id, ids[i]);
        assert_non_null(algorithm->name);
        assert_true(algorithm->hash_bits == 256 || algorithm->hash_bits == 512);
        assert_int_equal(algorithm->content_digest == CONTENT_DIGEST_CHUNKED_SHA512,
                         algorithm->hash_bits == 512);
    }
}

static void finds_nothing_for_other_numbers(void **state)
{
    static const uint32_t ids[] = { 0, 0x0100, 0x0105, 0x0200, 0x0422, 0x10103, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_null(signature_algorithm_find(ids[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_algorithm_by_its_number),
        cmocka_unit_test(finds_nothing_for_other_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
