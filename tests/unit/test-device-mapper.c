/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/device-mapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/helpers/test.h"

#define ROOT "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"

static VerityTable plain_verity(void)
{
    VerityTable table = { .data_device = "/dev/vdc3",
                          .hash_device = "/dev/loop0",
                          .n_data_blocks = 740,
                          .hash_start_block = 2 };

    for (uint8_t i = 0; i < VERITY_HASH_SIZE; i++)
        table.root[i] = (uint8_t)(i + 1);
    return table;
}

static CryptTable plain_crypt(const uint8_t *key)
{
    return (CryptTable){ .device = "/dev/vdb2",
                         .offset_sectors = 8,
                         .n_sectors = 16,
                         .key = key,
                         .key_size = CRYPT_KEY_MAX };
}

static void verity_table_is_as_the_kernel_reads_it(void **state)
{
    char text[DEVICE_MAPPER_TABLE_SIZE];
    VerityTable table = plain_verity();

    (void)state;
    assert_int_equal(device_mapper_format_verity(&table, text), 0);
    assert_string_equal(text, "1 /dev/vdc3 /dev/loop0 4096 4096 740 2 sha256 " ROOT " -");

    table.salt = (const uint8_t *)"\xab\xcd";
    table.salt_size = 2;
    table.panic_on_corruption = true;
    assert_int_equal(device_mapper_format_verity(&table, text), 0);
    assert_string_equal(text, "1 /dev/vdc3 /dev/loop0 4096 4096 740 2 sha256 " ROOT
                              " abcd 1 panic_on_corruption");
}

static void verity_salt_has_a_limit(void **state)
{
    uint8_t salt[VERITY_SALT_MAX + 1] = { 0 };
    char text[DEVICE_MAPPER_TABLE_SIZE];
    VerityTable table = plain_verity();

    (void)state;
    table.salt = salt;
    table.salt_size = VERITY_SALT_MAX;
    assert_int_equal(device_mapper_format_verity(&table, text), 0);
    table.salt_size = VERITY_SALT_MAX + 1;
    assert_int_equal(device_mapper_format_verity(&table, text), -EINVAL);
}

static void verity_device_has_a_size_that_there_is(void **state)
{
    char text[DEVICE_MAPPER_TABLE_SIZE];
    VerityTable table = plain_verity();

    (void)state;
    table.n_data_blocks = INT64_MAX / DEVICE_MAPPER_BLOCK_SIZE;
    assert_int_equal(device_mapper_format_verity(&table, text), 0);
    table.n_data_blocks++;
    assert_int_equal(device_mapper_format_verity(&table, text), -EINVAL);
    table.n_data_blocks =
        UINT64_MAX / DEVICE_MAPPER_BLOCK_SIZE + 2; /* 4096 bytes, were it to wrap */
    assert_int_equal(device_mapper_format_verity(&table, text), -EINVAL);
    table.n_data_blocks = 0;
    assert_int_equal(device_mapper_format_verity(&table, text), -EINVAL);
}

static void path_that_is_no_word_is_refused(void **state)
{
    static const char *const paths[] = { "", "/dev/a b", "/dev/a\tb", "/dev/a\\b", "/dev/a\nb" };
    const uint8_t key[CRYPT_KEY_MAX] = { 0 };
    char text[DEVICE_MAPPER_TABLE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        VerityTable verity = plain_verity();
        CryptTable crypt = plain_crypt(key);

        verity.data_device = paths[i];
        assert_int_equal(device_mapper_format_verity(&verity, text), -EINVAL);
        verity = plain_verity();
        verity.hash_device = paths[i];
        assert_int_equal(device_mapper_format_verity(&verity, text), -EINVAL);
        crypt.device = paths[i];
        assert_int_equal(device_mapper_format_crypt(&crypt, text), -EINVAL);
    }
}

/* Every length from where it fits to where it does not. */
static void table_fits_or_is_refused(void **state)
{
    const uint8_t key[CRYPT_KEY_MAX] = { 0xff };
    const char zeros[DEVICE_MAPPER_TABLE_SIZE] = { 0 };
    char path[DEVICE_MAPPER_TABLE_SIZE + 1] = { 0 }, text[DEVICE_MAPPER_TABLE_SIZE];
    VerityTable verity = plain_verity();
    CryptTable crypt = plain_crypt(key);
    size_t rest, size;

    (void)state;
    verity.data_device = crypt.device = path;
    path[0] = 'p';
    assert_int_equal(device_mapper_format_verity(&verity, text), 0);
    rest = strlen(text) - 1;
    size = DEVICE_MAPPER_TABLE_SIZE - 1 - rest;
    memset(path, 'p', size);
    assert_int_equal(device_mapper_format_verity(&verity, text), 0);
    assert_int_equal(strlen(text), DEVICE_MAPPER_TABLE_SIZE - 1);
    path[size] = 'p';
    assert_int_equal(device_mapper_format_verity(&verity, text), -ENAMETOOLONG);

    memset(path, 0, sizeof(path));
    path[0] = 'p';
    assert_int_equal(device_mapper_format_crypt(&crypt, text), 0);
    rest = strlen(text) - 1;
    size = DEVICE_MAPPER_TABLE_SIZE - 1 - rest;
    memset(path, 'p', size);
    assert_int_equal(device_mapper_format_crypt(&crypt, text), 0);
    path[size] = 'p';
    assert_int_equal(device_mapper_format_crypt(&crypt, text), -ENAMETOOLONG);
    assert_memory_equal(text, zeros, sizeof(text)); /* the key is not left in there */
}

static void crypt_table_is_as_the_kernel_reads_it(void **state)
{
    uint8_t key[CRYPT_KEY_MAX] = { 0 };
    char text[DEVICE_MAPPER_TABLE_SIZE], expected[DEVICE_MAPPER_TABLE_SIZE];
    CryptTable table = plain_crypt(key);

    (void)state;
    key[0] = 0xa1;
    key[CRYPT_KEY_MAX - 1] = 0x0f;
    assert_int_equal(device_mapper_format_crypt(&table, text), 0);
    (void)snprintf(expected, sizeof(expected),
                   "aes-xts-plain64 a1%0*d0f 0 /dev/vdb2 8 2 sector_size:4096 iv_large_sectors",
                   2 * (CRYPT_KEY_MAX - 2), 0);
    assert_string_equal(text, expected);

    table.key_size = CRYPT_KEY_MAX / 2;
    assert_int_equal(device_mapper_format_crypt(&table, text), 0);
}

static void crypt_key_is_of_one_of_two_sizes(void **state)
{
    const uint8_t key[CRYPT_KEY_MAX + 1] = { 0 };
    char text[DEVICE_MAPPER_TABLE_SIZE];
    CryptTable table = plain_crypt(key);

    (void)state;
    for (table.key_size = 0; table.key_size <= CRYPT_KEY_MAX + 1; table.key_size++) {
        bool fits = table.key_size == CRYPT_KEY_MAX / 2 || table.key_size == CRYPT_KEY_MAX;
        assert_int_equal(device_mapper_format_crypt(&table, text), fits ? 0 : -EINVAL);
    }
}

static void crypt_area_is_of_whole_blocks_that_there_are(void **state)
{
    const uint64_t sectors_max = INT64_MAX / DEVICE_MAPPER_SECTOR / 8 * 8;
    const struct {
        uint64_t offset, n_sectors;
        int expected;
    } areas[] = {
        { 0, 8, 0 },
        { 0, 0, -EINVAL },
        { 0, 7, -EINVAL },
        { 0, 9, -EINVAL },
        { 1, 8, -EINVAL },
        { 8, sectors_max - 8, 0 },
        { 16, sectors_max - 8, -EINVAL },
        { UINT64_MAX - 7, 8, -EINVAL },
    };
    const uint8_t key[CRYPT_KEY_MAX] = { 0 };
    char text[DEVICE_MAPPER_TABLE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
        CryptTable table = plain_crypt(key);

        table.offset_sectors = areas[i].offset;
        table.n_sectors = areas[i].n_sectors;
        assert_int_equal(device_mapper_format_crypt(&table, text), areas[i].expected);
    }
}

static void name_that_no_device_can_have_is_refused(void **state)
{
    char name[DEVICE_MAPPER_NAME_MAX + 2] = { 0 }, path[DEVICE_PATH_SIZE];
    VerityTable table = plain_verity();
    Error error = ERROR_INIT;
    bool is_corrupted;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    assert_int_equal(device_mapper_open_verity(name, &table, path, &error), -EINVAL);
    error_clear(&error);
    assert_int_equal(device_mapper_is_corrupted("a/b", &is_corrupted, &error), -EINVAL);
    error_clear(&error);
    assert_int_equal(device_mapper_remove("", &error), -EINVAL);
    error_clear(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verity_table_is_as_the_kernel_reads_it),
        cmocka_unit_test(verity_salt_has_a_limit),
        cmocka_unit_test(verity_device_has_a_size_that_there_is),
        cmocka_unit_test(path_that_is_no_word_is_refused),
        cmocka_unit_test(table_fits_or_is_refused),
        cmocka_unit_test(crypt_table_is_as_the_kernel_reads_it),
        cmocka_unit_test(crypt_key_is_of_one_of_two_sizes),
        cmocka_unit_test(crypt_area_is_of_whole_blocks_that_there_are),
        cmocka_unit_test(name_that_no_device_can_have_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
