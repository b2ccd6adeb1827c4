/* SPDX-License-Identifier: Apache-2.0 */
/* What needs a device is in tests/integration/test-guest-devices.py. */
#include "guest/encrypted-storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "composite-disk/partition-image.h"
#include "tests/helpers/test.h"

#define SIZE ENCRYPTED_STORAGE_HEADER_SIZE

static const uint8_t zero_key[ENCRYPTED_STORAGE_KEY_SIZE];

static EncryptedStorageHeader some_header(void)
{
    EncryptedStorageHeader header;

    memset(header.salt, 0x5a, sizeof(header.salt));
    memset(header.check, 0xc4, sizeof(header.check));
    return header;
}

static void header_is_read_as_it_was_written(void **state)
{
    EncryptedStorageHeader header = some_header(), again;
    uint8_t bytes[SIZE];

    (void)state;
    encrypted_storage_encode(&header, bytes);
    assert_memory_equal(bytes, "ENCRYPTED-STORAGE1\0", 19);
    assert_int_equal(encrypted_storage_decode(bytes, &again), 1);
    assert_memory_equal(&again, &header, sizeof(again));
}

static void new_partition_is_to_be_formatted(void **state)
{
    uint8_t bytes[SIZE] = { 0 };
    EncryptedStorageHeader header;

    (void)state;
    partition_image_make_header(PARTITION_ENCRYPTEDSTORE, bytes);
    assert_int_equal(encrypted_storage_decode(bytes, &header), 0);
}

static void anything_else_is_refused(void **state)
{
    EncryptedStorageHeader header = some_header(), untouched = header;
    uint8_t bytes[SIZE], zeros[SIZE] = { 0 };

    (void)state;
    assert_int_equal(encrypted_storage_decode(zeros, &header), -EBADMSG);
    encrypted_storage_encode(&header, bytes);
    for (size_t i = 0; i < SIZE; i++) {
        bool in_fields = i >= 32 && i < 96;

        bytes[i] ^= 1;
        assert_int_equal(encrypted_storage_decode(bytes, &header), in_fields ? 1 : -EBADMSG);
        bytes[i] ^= 1;
        if (!in_fields)
            assert_memory_equal(&header, &untouched, sizeof(header));
        header = untouched;
    }
}

/* Computed with Python's hmac, as RFC 5869 has it. */
static void keys_are_those_of_hkdf(void **state)
{
    static const char expected_crypt[] =
        "908974ccc7b75d32e9e312f2c7b39d3add029fa4541b8f89e785861321288fd9"
        "9c624390a8be2fff984ad6833e032d8ec293318a123a4496c6e135fc8bfcfbd0";
    static const char expected_check[] =
        "7ae1f9510e6c7f271ee6e0784936034a65a485cdafbe7d80ee865f6173b94fd5";
    uint8_t key[ENCRYPTED_STORAGE_KEY_SIZE], salt[ENCRYPTED_STORAGE_SALT_SIZE];
    char hex[2 * CRYPT_KEY_MAX + 1];
    EncryptedStorageKeys keys;

    (void)state;
    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    memset(salt, 0x5a, sizeof(salt));
    assert_int_equal(encrypted_storage_derive(key, salt, &keys), 0);
    text_hex(keys.crypt, sizeof(keys.crypt), hex);
    assert_string_equal(hex, expected_crypt);
    text_hex(keys.check, sizeof(keys.check), hex);
    assert_string_equal(hex, expected_check);
}

static void each_storage_and_instance_has_keys_of_its_own(void **state)
{
    uint8_t salt[ENCRYPTED_STORAGE_SALT_SIZE] = { 0 }, key[ENCRYPTED_STORAGE_KEY_SIZE] = { 1 };
    EncryptedStorageKeys keys, of_other_salt, of_other_key;

    (void)state;
    assert_int_equal(encrypted_storage_derive(zero_key, salt, &keys), 0);
    assert_int_equal(encrypted_storage_derive(key, salt, &of_other_key), 0);
    salt[0] = 1;
    assert_int_equal(encrypted_storage_derive(zero_key, salt, &of_other_salt), 0);
    assert_memory_not_equal(keys.crypt, of_other_key.crypt, sizeof(keys.crypt));
    assert_memory_not_equal(keys.check, of_other_key.check, sizeof(keys.check));
    assert_memory_not_equal(keys.crypt, of_other_salt.crypt, sizeof(keys.crypt));
    assert_memory_not_equal(keys.check, of_other_salt.check, sizeof(keys.check));
    assert_memory_not_equal(keys.crypt, keys.check, sizeof(keys.check));
}

/* A file is as good as a partition, as long as it is refused. */
static void refuses_untouched(const void *bytes, size_t size, const char *words)
{
    char path[] = "/tmp/encrypted-storage-XXXXXX";
    _cleanup_close_ int fd = mkstemp(path);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t again[4 * DEVICE_MAPPER_BLOCK_SIZE];
    bool formatted;

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, size), 0);
    assert_true(encrypted_storage_mount(path, zero_key, &formatted, &error) < 0);
    (void)unlink(path);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(pread(fd, again, sizeof(again), 0), size);
    assert_memory_equal(again, bytes, size);
}

static void what_is_not_ours_is_left_alone(void **state)
{
    static uint8_t bytes[3 * DEVICE_MAPPER_BLOCK_SIZE];
    uint8_t key[ENCRYPTED_STORAGE_KEY_SIZE] = { 1 };
    EncryptedStorageHeader header = some_header();
    EncryptedStorageKeys keys;

    (void)state;
    refuses_untouched(bytes, sizeof(bytes), "neither new nor one that was formatted here");
    assert_int_equal(encrypted_storage_derive(key, header.salt, &keys), 0);
    memcpy(header.check, keys.check, sizeof(header.check));
    encrypted_storage_encode(&header, bytes);
    refuses_untouched(bytes, sizeof(bytes),
                      "Unable to prepare encrypted storage: it belongs to another instance");
    refuses_untouched(bytes, 2 * DEVICE_MAPPER_BLOCK_SIZE - 1, "the partition is too small");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_read_as_it_was_written),
        cmocka_unit_test(new_partition_is_to_be_formatted),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(keys_are_those_of_hkdf),
        cmocka_unit_test(each_storage_and_instance_has_keys_of_its_own),
        cmocka_unit_test(what_is_not_ours_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
