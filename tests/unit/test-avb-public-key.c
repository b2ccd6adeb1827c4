/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers in a key are checked by what they are for: multiplication modulo n. */
#include "composite-disk/avb-public-key.h"

#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "composite-disk/signing-key.h"
#include "tests/helpers/test.h"

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
DEFINE_CLEANUP(BIGNUM, BN_free);
DEFINE_CLEANUP(BN_CTX, BN_CTX_free);

static void get_key_path(unsigned bits, char path[static 256])
{
    const char *top = getenv("top_srcdir");

    (void)snprintf(path, 256, "%s/tests/keys/rsa-%u.pem", top ? top : ".", bits);
}

static SigningKey *load_private(unsigned bits)
{
    SigningKey *key = NULL;
    char path[256];

    get_key_path(bits, path);
    assert_int_equal(signing_key_load(path, NULL, &key, NULL), 0);
    return key;
}

static uint32_t get_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void keys_of_all_sizes_have_their_numbers(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 2048, 4096, 8192 };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        _cleanup_(signing_key_freep) SigningKey *key = load_private(sizes[i]);
        _cleanup_(BN_CTX_freep) BN_CTX *context = BN_CTX_new();
        _cleanup_(BN_freep) BIGNUM *n = NULL;
        _cleanup_(BN_freep) BIGNUM *square = BN_new();
        size_t half = sizes[i] / 8;
        AvbPublicKey encoded;

        assert_int_equal(avb_public_key_from_key(key->key, &encoded, NULL), 0);
        assert_int_equal(encoded.size, 8 + 2 * half);
        assert_int_equal(encoded.size, avb_public_key_get_size(sizes[i]));
        assert_int_equal(get_be32(encoded.bytes), sizes[i]);
        /* n0inv * n is -1 modulo 2^32 */
        uint32_t lowest = get_be32(encoded.bytes + 8 + half - 4);
        assert_int_equal((uint32_t)(get_be32(encoded.bytes + 4) * lowest), UINT32_MAX);
        /* rr * 1 is 2^bits * 2^bits modulo n, multiplied here bit by bit */
        n = BN_bin2bn(encoded.bytes + 8, (int)half, NULL);
        assert_int_equal(BN_num_bits(n), (int)sizes[i]);
        BN_one(square);
        for (unsigned bit = 0; bit < 2 * sizes[i]; bit++)
            assert_int_equal(BN_mod_lshift1(square, square, n, context), 1);
        _cleanup_(BN_freep) BIGNUM *rr = BN_bin2bn(encoded.bytes + 8 + half, (int)half, NULL);
        assert_int_equal(BN_cmp(rr, square), 0);
    }
}

static void a_key_comes_back_from_its_encoding(void **state)
{
    (void)state;
    _cleanup_(signing_key_freep) SigningKey *key = load_private(2048);
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *again = NULL;
    _cleanup_free_ uint8_t *der = NULL;
    AvbPublicKey encoded;
    size_t size;

    assert_int_equal(avb_public_key_from_key(key->key, &encoded, NULL), 0);
    assert_int_equal(avb_public_key_to_der(encoded.bytes, encoded.size, &der, &size, NULL), 0);
    const uint8_t *end = der;
    again = d2i_PUBKEY(NULL, &end, (long)size);
    assert_non_null(again);
    assert_ptr_equal(end, der + size);
    assert_int_equal(EVP_PKEY_eq(again, key->key), 1);
}

static void assert_refused(const uint8_t *key, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t *der = NULL;
    size_t der_size;

    assert_true(avb_public_key_to_der(key, size, &der, &der_size, &error) < 0);
    assert_null(der);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void bytes_that_are_no_key_are_refused(void **state)
{
    (void)state;
    _cleanup_(signing_key_freep) SigningKey *key = load_private(2048);
    AvbPublicKey good, bad;

    assert_int_equal(avb_public_key_from_key(key->key, &good, NULL), 0);
    assert_refused(good.bytes, good.size - 1, "519 bytes that says 2048 bits");
    assert_refused(good.bytes, 3, "3 bytes");
    static const struct {
        size_t at;
        uint8_t flip;
        const char *words;
    } cases[] = {
        { 2, 0x08 ^ 0x10, "says 4096 bits" },
        { 2, 0x08 ^ 0x0c, "says 3072 bits" },
        { 4, 1, "n0inv or rr" },
        { 8, 0x80, "fewer than its 2048 bits" },
        { 8 + 255, 1, "modulus is even" },
        { 8 + 254, 1, "n0inv or rr" },
        { 8 + 256, 1, "n0inv or rr" },
        { 519, 1, "n0inv or rr" },
    };
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        bad = good;
        bad.bytes[cases[i].at] ^= cases[i].flip;
        assert_refused(bad.bytes, bad.size, cases[i].words);
    }
}

static void assert_not_encoded(EVP_PKEY *key, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *owned = key;
    AvbPublicKey encoded;

    assert_non_null(owned);
    assert_true(avb_public_key_from_key(owned, &encoded, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static EVP_PKEY *make_key_with_exponent_3(void)
{
    _cleanup_(BN_freep) BIGNUM *three = BN_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;

    assert_int_equal(BN_set_word(three, 3), 1);
    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, three), 1);
    assert_int_equal(EVP_PKEY_keygen(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static void keys_that_avb_has_not_are_refused(void **state)
{
    (void)state;

    assert_not_encoded(EVP_EC_gen("P-256"), "not EC");
    assert_not_encoded(EVP_RSA_gen(1024), "1024 bits");
    assert_not_encoded(EVP_RSA_gen(2056), "2056 bits; AVB has keys of 2048, 4096 and 8192");
    assert_not_encoded(make_key_with_exponent_3(), "exponent is not 65537");
    assert_int_equal(avb_public_key_get_size(3072), 0);
    assert_int_equal(avb_public_key_get_size(UINT64_MAX), 0);
}

typedef struct TemporaryFile {
    char path[32];
    FILE *file;
} TemporaryFile;

static TemporaryFile make_temporary(void)
{
    TemporaryFile file = { .path = "/tmp/test-avb-key-XXXXXX" };
    int fd = mkstemp(file.path);

    assert_true(fd >= 0);
    file.file = fdopen(fd, "w");
    assert_non_null(file.file);
    return file;
}

static int load_and_remove(TemporaryFile *file, AvbPublicKey *ret_key, Error *error)
{
    assert_int_equal(fclose(file->file), 0);
    int r = avb_public_key_load(file->path, ret_key, error);
    assert_int_equal(unlink(file->path), 0);
    return r;
}

static void a_file_has_a_private_a_public_or_an_avb_key(void **state)
{
    (void)state;
    _cleanup_(signing_key_freep) SigningKey *key = load_private(2048);
    AvbPublicKey expected, loaded;
    char path[256];

    assert_int_equal(avb_public_key_from_key(key->key, &expected, NULL), 0);
    get_key_path(2048, path);
    assert_int_equal(avb_public_key_load(path, &loaded, NULL), 0);
    assert_int_equal(loaded.size, expected.size);
    assert_memory_equal(loaded.bytes, expected.bytes, expected.size);

    TemporaryFile file = make_temporary();
    assert_int_equal(PEM_write_PUBKEY(file.file, key->key), 1);
    memset(&loaded, 0, sizeof(loaded));
    assert_int_equal(load_and_remove(&file, &loaded, NULL), 0);
    assert_int_equal(loaded.size, expected.size);
    assert_memory_equal(loaded.bytes, expected.bytes, expected.size);

    file = make_temporary();
    assert_int_equal(fwrite(expected.bytes, 1, expected.size, file.file), expected.size);
    memset(&loaded, 0, sizeof(loaded));
    assert_int_equal(load_and_remove(&file, &loaded, NULL), 0);
    assert_int_equal(loaded.size, expected.size);
    assert_memory_equal(loaded.bytes, expected.bytes, expected.size);
}

static void a_file_without_a_key_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "0 bytes" },
        { "no key", "an AVB public key of 6 bytes" },
        { "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
          "no public or private key" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        TemporaryFile file = make_temporary();
        AvbPublicKey key;

        (void)fputs(cases[i].text, file.file);
        assert_true(load_and_remove(&file, &key, &error) < 0);
        if (!strstr(error_get_message(&error), cases[i].words))
            fail_msg("'%s' without '%s'", error_get_message(&error), cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_sizes_have_their_numbers),
        cmocka_unit_test(a_key_comes_back_from_its_encoding),
        cmocka_unit_test(bytes_that_are_no_key_are_refused),
        cmocka_unit_test(keys_that_avb_has_not_are_refused),
        cmocka_unit_test(a_file_has_a_private_a_public_or_an_avb_key),
        cmocka_unit_test(a_file_without_a_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
