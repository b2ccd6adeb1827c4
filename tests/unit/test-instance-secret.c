/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/instance-secret.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

static void fill(uint8_t *bytes, size_t size, uint8_t first, uint8_t step)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(first + i * step);
}

/* Made with Python's hmac, by the two steps of RFC 5869. */
static void secret_is_that_of_another_implementation(void **state)
{
    static const struct {
        size_t host_secret_size;
        uint8_t host_first, host_step, id_first, id_step;
        const char *secret;
    } cases[] = {
        { 64, 0, 1, 0x80, 1,
          "\xd8\xac\xfc\x68\xfa\x1a\x27\x25\xaf\x81\x40\x77\xee\xf1\xa5\xc8"
          "\xfd\x11\xda\x46\x9f\x5c\x6a\x2f\x50\x94\x2f\x3c\x88\xaa\xc0\x8c"
          "\x1d\x0e\xe6\x45\x59\xc2\xa3\xf4\x16\x0b\xb2\xf0\x15\xbb\xf4\x08"
          "\x57\xf0\x59\xe8\xc6\xb1\x4d\xd1\x91\x27\x8d\xf0\x42\x5c\xc9\x30" },
        { 4096, 0xa5, 0, 0, 0,
          "\x73\x4c\x01\x4a\x5f\x03\xf2\x5e\x9c\x05\x62\x7e\x57\xd1\x04\x97"
          "\xf0\x0f\xf0\x99\x0c\x7c\xfb\x29\xcb\xf1\xe4\xd1\xb0\xb7\xee\xf6"
          "\xce\x86\x6a\x54\x15\x60\x47\xe2\x00\xbe\x4b\xd6\x54\x33\x0f\x70"
          "\x25\x89\x66\x8f\x84\x7b\xe3\x20\x0f\xd2\x9d\xd4\x9d\x7c\x99\x3e" },
        { 32, 0x0b, 0, 0xff, 0,
          "\x49\x2d\xac\x74\xc9\x9e\x92\xd8\x48\xd7\xc2\x88\xea\x9b\xd6\x0d"
          "\x6e\x7e\xc3\x98\xa0\x4b\x31\x94\xd9\x52\x37\xaf\x3b\xfd\x5b\x4a"
          "\x0c\xfb\x17\xc6\xa3\xd4\x7d\x3c\x48\x60\x49\x0d\x5c\x72\x13\xe8"
          "\x28\x9b\x9a\xfe\x97\x3a\x63\x20\x42\x54\x98\x26\x56\x22\xdd\x09" },
    };
    uint8_t host_secret[4096], id[LAUNCH_SPEC_INSTANCE_ID_SIZE], secret[INSTANCE_SECRET_SIZE];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        fill(host_secret, cases[i].host_secret_size, cases[i].host_first, cases[i].host_step);
        fill(id, sizeof(id), cases[i].id_first, cases[i].id_step);
        assert_int_equal(instance_secret_derive(host_secret, cases[i].host_secret_size, id, secret),
                         0);
        assert_memory_equal(secret, cases[i].secret, sizeof(secret));
    }
}

static void secret_depends_on_every_bit_of_host_and_instance(void **state)
{
    uint8_t host_secret[64], id[LAUNCH_SPEC_INSTANCE_ID_SIZE];
    uint8_t first[INSTANCE_SECRET_SIZE], other[INSTANCE_SECRET_SIZE];

    (void)state;
    fill(host_secret, sizeof(host_secret), 1, 3);
    fill(id, sizeof(id), 2, 5);
    assert_int_equal(instance_secret_derive(host_secret, sizeof(host_secret), id, first), 0);
    assert_int_equal(instance_secret_derive(host_secret, sizeof(host_secret), id, other), 0);
    assert_memory_equal(first, other, sizeof(first));
    for (size_t bit = 0; bit < 8 * sizeof(id); bit++) {
        id[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(instance_secret_derive(host_secret, sizeof(host_secret), id, other), 0);
        assert_memory_not_equal(first, other, sizeof(first));
        id[bit / 8] ^= (uint8_t)(1U << bit % 8);
        host_secret[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(instance_secret_derive(host_secret, sizeof(host_secret), id, other), 0);
        assert_memory_not_equal(first, other, sizeof(first));
        host_secret[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void archive_has_the_secret_and_nothing_else(void **state)
{
    uint8_t host_secret[64], id[LAUNCH_SPEC_INSTANCE_ID_SIZE], secret[INSTANCE_SECRET_SIZE];
    uint8_t archive[INSTANCE_ARCHIVE_SIZE], expected[INSTANCE_ARCHIVE_SIZE];

    (void)state;
    fill(host_secret, sizeof(host_secret), 1, 3);
    fill(id, sizeof(id), 2, 5);
    assert_int_equal(instance_secret_make_archive(host_secret, sizeof(host_secret), id, archive),
                     0);
    assert_int_equal(instance_secret_derive(host_secret, sizeof(host_secret), id, secret), 0);
    ByteWriter writer = byte_writer(expected, sizeof(expected));
    boot_archive_put(&writer, "instance-secret", secret, sizeof(secret));
    assert_int_equal(byte_writer_finish(&writer), 0);
    assert_memory_equal(archive, expected, sizeof(archive));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_is_that_of_another_implementation),
        cmocka_unit_test(secret_depends_on_every_bit_of_host_and_instance),
        cmocka_unit_test(archive_has_the_secret_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
