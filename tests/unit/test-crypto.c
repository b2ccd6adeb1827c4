/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL is the second opinion: what it seals is opened here and the other way round, and what it
 * signs is verified. */
#include "guest/crypto.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/signing-key.h"
#include "tests/helpers/test.h"

void *__real_calloc(size_t n_elements, size_t size);
void *__wrap_calloc(size_t n_elements, size_t size);

/* Of mbed TLS. */
static struct {
    size_t failing; /* this one and all after it fail; 0: none, 1: the first */
    bool has_failed;
} allocations;

void *__wrap_calloc(size_t n_elements, size_t size)
{
    if (allocations.failing == 1) {
        allocations.has_failed = true;
        return NULL;
    }
    if (allocations.failing > 1)
        allocations.failing--;
    return __real_calloc(n_elements, size);
}

#define BYTES_MAX   128
#define MODULUS_MAX (8192 / 8)

static CryptoBytes no_bytes(void)
{
    return (CryptoBytes){ NULL, 0 };
}

static CryptoBytes text_bytes(const char *text)
{
    return (CryptoBytes){ text, strlen(text) };
}

/* The numbers from @first on, each a byte. */
static CryptoBytes counted(uint8_t bytes[static BYTES_MAX], unsigned first, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(first + i);
    return (CryptoBytes){ bytes, size };
}

static void assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
    char text[2 * BYTES_MAX + 1];

    assert_true(size <= BYTES_MAX);
    text_hex(bytes, size, text);
    assert_string_equal(text, expected);
}

/* --- hashes --- */

static void hash_is_that_of_the_parts_one_behind_the_other(void **state)
{
    (void)state;
    const CryptoBytes whole = text_bytes("abc");
    const CryptoBytes parts[] = { text_bytes("a"), no_bytes(), text_bytes("bc") };
    uint8_t digest[CRYPTO_HASH_SIZE_MAX], of_parts[CRYPTO_HASH_SIZE_MAX];

    /* FIPS 180-2, appendices B.1 and C.1. */
    assert_int_equal(crypto_hash(CRYPTO_SHA256, &whole, 1, digest), 0);
    assert_hex(digest, CRYPTO_SHA256_SIZE,
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(crypto_hash(CRYPTO_SHA256, parts, ELEMENTS_OF(parts), of_parts), 0);
    assert_memory_equal(of_parts, digest, CRYPTO_SHA256_SIZE);
    assert_int_equal(crypto_hash(CRYPTO_SHA512, &whole, 1, digest), 0);
    assert_hex(digest, CRYPTO_SHA512_SIZE,
               "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    assert_int_equal(crypto_hash(CRYPTO_SHA512, parts, ELEMENTS_OF(parts), of_parts), 0);
    assert_memory_equal(of_parts, digest, CRYPTO_SHA512_SIZE);
}

static void hash_of_nothing_is_one_too(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_HASH_SIZE_MAX];

    assert_int_equal(crypto_hash(CRYPTO_SHA256, NULL, 0, digest), 0);
    assert_hex(digest, CRYPTO_SHA256_SIZE,
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* --- derivation --- */

static void derives_as_the_test_cases_of_rfc_5869(void **state)
{
    (void)state;
    static const uint8_t short_key[22] = { [0 ... 21] = 0x0b };
    uint8_t key_bytes[BYTES_MAX], salt_bytes[BYTES_MAX], info_bytes[BYTES_MAX], output[BYTES_MAX];
    CryptoBytes key = { short_key, sizeof(short_key) };
    CryptoBytes salt = counted(salt_bytes, 0, 13), info = counted(info_bytes, 0xf0, 10);

    /* Appendices A.1 to A.3; those for SHA-512 were made with Python's hmac. */
    assert_int_equal(crypto_derive(CRYPTO_SHA256, key, salt, info, output, 42), 0);
    assert_hex(
        output, 42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    assert_int_equal(crypto_derive(CRYPTO_SHA512, key, salt, info, output, 42), 0);
    assert_hex(
        output, 42,
        "832390086cda71fb47625bb5ceb168e4c8e26a1a16ed34d9fc7fe92c1481579338da362cb8d9f925d7cb");

    assert_int_equal(crypto_derive(CRYPTO_SHA256, key, no_bytes(), no_bytes(), output, 42), 0);
    assert_hex(
        output, 42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    assert_int_equal(crypto_derive(CRYPTO_SHA512, key, no_bytes(), no_bytes(), output, 42), 0);
    assert_hex(
        output, 42,
        "f5fa02b18298a72a8c23898a8703472c6eb179dc204c03425c970e3b164bf90fff22d04836d0e2343bac");

    key = counted(key_bytes, 0, 80);
    salt = counted(salt_bytes, 0x60, 80);
    info = counted(info_bytes, 0xb0, 80);
    assert_int_equal(crypto_derive(CRYPTO_SHA256, key, salt, info, output, 82), 0);
    assert_hex(
        output, 82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb"
        "41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    assert_int_equal(crypto_derive(CRYPTO_SHA512, key, salt, info, output, 82), 0);
    assert_hex(
        output, 82,
        "ce6c97192805b346e6161e821ed165673b84f400a2b514b2fe23d84cd189ddf1b695b48cbd1c83884411"
        "37b3ce28f16aa64ba33ba466b24df6cfcb021ecff235f6a2056ce3af1de44d572097a8505d9e7a93");
}

/* RFC 5869, 2.3: 255 blocks. */
static void derives_at_most_255_hashes(void **state)
{
    (void)state;
    static uint8_t output[255 * CRYPTO_SHA512_SIZE + 1];
    const CryptoBytes key = text_bytes("key"), info = text_bytes("info");

    assert_int_equal(
        crypto_derive(CRYPTO_SHA256, key, no_bytes(), info, output, 255 * CRYPTO_SHA256_SIZE), 0);
    assert_int_equal(
        crypto_derive(CRYPTO_SHA256, key, no_bytes(), info, output, 255 * CRYPTO_SHA256_SIZE + 1),
        -EINVAL);
    assert_int_equal(
        crypto_derive(CRYPTO_SHA512, key, no_bytes(), info, output, 255 * CRYPTO_SHA512_SIZE), 0);
    assert_int_equal(crypto_derive(CRYPTO_SHA512, key, no_bytes(), info, output, sizeof(output)),
                     -EINVAL);
}

/* --- sealing --- */

#define NONCE_HEX "101112131415161718191a1b"
#define PLAIN     "plain text of 30 bytes, or so."
#define MORE      "header"
/* Made with Python's cryptography, of the key 00 01 .. 1f. */
#define SEALED_HEX                                                         \
    NONCE_HEX "0d92f97f27e94ed6b201287269595a63f732377a7eb17b91888bc21431" \
              "7aaf4ba8500f258540208b679773fddccc"
#define SEALED_SIZE (sizeof(PLAIN) - 1 + CRYPTO_SEALED_MORE)

static void get_sealed(uint8_t key[static BYTES_MAX], uint8_t sealed[static SEALED_SIZE])
{
    assert_int_equal(sizeof(SEALED_HEX) - 1, 2 * SEALED_SIZE);
    assert_int_equal(text_parse_hex(SEALED_HEX, SEALED_SIZE, sealed), 0);
    (void)counted(key, 0, CRYPTO_KEY_SIZE);
}

static void opens_what_another_implementation_has_sealed(void **state)
{
    (void)state;
    uint8_t key[BYTES_MAX], sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)] = "";

    get_sealed(key, sealed);
    assert_int_equal(crypto_open(key, text_bytes(MORE), (CryptoBytes){ sealed, sizeof(sealed) },
                                 (uint8_t *)plain),
                     0);
    assert_string_equal(plain, PLAIN);
}

/* That nothing is left of a plain text which is not the sealed one. */
static void assert_not_opened(const uint8_t *key, CryptoBytes more, CryptoBytes sealed)
{
    static const uint8_t zeros[sizeof(PLAIN) - 1];
    uint8_t plain[sizeof(PLAIN) - 1];

    memset(plain, 0xee, sizeof(plain));
    assert_int_equal(crypto_open(key, more, sealed, plain), -EBADMSG);
    assert_memory_equal(plain, zeros, sealed.size - CRYPTO_SEALED_MORE);
}

static void nothing_is_opened_once_a_bit_has_changed(void **state)
{
    (void)state;
    uint8_t key[BYTES_MAX], sealed[SEALED_SIZE], more[] = MORE;
    const CryptoBytes sealed_bytes = { sealed, sizeof(sealed) };
    const CryptoBytes more_bytes = { more, sizeof(more) - 1 };

    get_sealed(key, sealed);
    for (size_t i = 0; i < 8 * sizeof(sealed); i++) { /* nonce, text and tag */
        sealed[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_not_opened(key, more_bytes, sealed_bytes);
        sealed[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 8 * more_bytes.size; i++) {
        more[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_not_opened(key, more_bytes, sealed_bytes);
        more[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 8 * CRYPTO_KEY_SIZE; i++) {
        key[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_not_opened(key, more_bytes, sealed_bytes);
        key[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_not_opened(key, no_bytes(), sealed_bytes);
    assert_not_opened(key, (CryptoBytes){ more, more_bytes.size - 1 }, sealed_bytes);
    assert_not_opened(key, more_bytes, (CryptoBytes){ sealed, sizeof(sealed) - 1 });

    uint8_t plain[sizeof(PLAIN)]; /* and with everything as it was */
    assert_int_equal(crypto_open(key, more_bytes, sealed_bytes, plain), 0);
}

static void what_is_shorter_than_a_nonce_and_a_tag_is_not_opened(void **state)
{
    (void)state;
    uint8_t key[BYTES_MAX], sealed[SEALED_SIZE], plain = 0xee;

    get_sealed(key, sealed);
    for (size_t size = 0; size <= CRYPTO_SEALED_MORE; size++)
        assert_int_equal(crypto_open(key, text_bytes(MORE), (CryptoBytes){ sealed, size }, &plain),
                         -EBADMSG);
    assert_int_equal(crypto_open(key, text_bytes(MORE), no_bytes(), &plain), -EBADMSG);
    assert_int_equal(plain, 0xee);
}

/* What it opens to; false when it does not. */
static bool open_with_openssl(
    const uint8_t *key, CryptoBytes more, const uint8_t *sealed, size_t size, uint8_t *ret_plain)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t tag[CRYPTO_TAG_SIZE], rest[EVP_MAX_BLOCK_LENGTH];
    int n;

    memcpy(tag, sealed + CRYPTO_NONCE_SIZE + size, sizeof(tag));
    assert_int_equal(EVP_DecryptInit_ex2(context, EVP_aes_256_gcm(), key, sealed, NULL), 1);
    assert_int_equal(EVP_DecryptUpdate(context, NULL, &n, more.data, (int)more.size), 1);
    assert_int_equal(
        EVP_DecryptUpdate(context, ret_plain, &n, sealed + CRYPTO_NONCE_SIZE, (int)size), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag), 1);
    bool is_right = EVP_DecryptFinal_ex(context, rest, &n) == 1;
    EVP_CIPHER_CTX_free(context);
    return is_right;
}

static void openssl_opens_what_is_sealed(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 32768 };
    static uint8_t plain[32768], sealed[sizeof(plain) + CRYPTO_SEALED_MORE], opened[sizeof(plain)];
    uint8_t key[BYTES_MAX];

    (void)counted(key, 0x80, CRYPTO_KEY_SIZE);
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        const size_t size = sizes[i];

        assert_int_equal(crypto_seal(key, text_bytes(MORE), (CryptoBytes){ plain, size }, sealed),
                         0);
        assert_true(open_with_openssl(key, text_bytes(MORE), sealed, size, opened));
        assert_memory_equal(opened, plain, size);
        memset(opened, 0, sizeof(opened));
        assert_int_equal(crypto_open(key, text_bytes(MORE),
                                     (CryptoBytes){ sealed, size + CRYPTO_SEALED_MORE }, opened),
                         0);
        assert_memory_equal(opened, plain, size);
    }
}

static void every_seal_has_a_nonce_of_its_own(void **state)
{
    (void)state;
    uint8_t key[BYTES_MAX], once[SEALED_SIZE], again[SEALED_SIZE];

    (void)counted(key, 0, CRYPTO_KEY_SIZE);
    assert_int_equal(crypto_seal(key, no_bytes(), text_bytes(PLAIN), once), 0);
    assert_int_equal(crypto_seal(key, no_bytes(), text_bytes(PLAIN), again), 0);
    assert_memory_not_equal(once, again, CRYPTO_NONCE_SIZE);
    assert_memory_not_equal(once + CRYPTO_NONCE_SIZE, again + CRYPTO_NONCE_SIZE, sizeof(PLAIN) - 1);
}

/* --- signatures --- */

typedef struct Signed {
    uint8_t modulus[MODULUS_MAX], signature[MODULUS_MAX], digest[CRYPTO_HASH_SIZE_MAX];
    size_t size; /* of modulus and signature */
    CryptoHash hash;
} Signed;

static Signed sign(const char *bits, CryptoHash hash, int padding)
{
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    const EVP_MD *md = hash == CRYPTO_SHA512 ? EVP_sha512() : EVP_sha256();
    const char *top = getenv("top_srcdir");
    AvbPublicKey public_key;
    Signed made = { .hash = hash };
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/tests/keys/rsa-%s.pem", top ? top : ".", bits);
    assert_int_equal(signing_key_load(path, NULL, &key, NULL), 0);
    assert_int_equal(avb_public_key_from_key(key->key, &public_key, NULL), 0);
    memset(made.digest, 0xd1, crypto_hash_get_size(hash));
    made.size = sizeof(made.signature);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, md), 1);
    assert_int_equal(
        EVP_PKEY_sign(context, made.signature, &made.size, made.digest, crypto_hash_get_size(hash)),
        1);
    EVP_PKEY_CTX_free(context);
    /* The modulus is behind the number of bits and the first of two numbers for Montgomery. */
    memcpy(made.modulus, public_key.bytes + 8, made.size);
    return made;
}

static int verify(const Signed *made)
{
    return crypto_verify_rsa((CryptoBytes){ made->modulus, made->size }, made->hash, made->digest,
                             (CryptoBytes){ made->signature, made->size });
}

static void takes_the_signatures_of_keys_of_each_size(void **state)
{
    (void)state;
    static const char *const sizes[] = { "2048", "4096", "8192" };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        Signed made = sign(sizes[i], CRYPTO_SHA256, RSA_PKCS1_PADDING);
        assert_int_equal(verify(&made), 0);
        made = sign(sizes[i], CRYPTO_SHA512, RSA_PKCS1_PADDING);
        assert_int_equal(verify(&made), 0);
    }
}

static void refuses_what_is_not_the_signature_of_the_digest(void **state)
{
    (void)state;
    Signed made = sign("2048", CRYPTO_SHA256, RSA_PKCS1_PADDING);

    for (size_t i = 0; i < made.size; i++) {
        made.signature[i] ^= 0x01;
        assert_int_equal(verify(&made), -EBADMSG);
        made.signature[i] ^= 0x01;
    }
    for (size_t i = 0; i < CRYPTO_SHA256_SIZE; i++) {
        made.digest[i] ^= 0x80;
        assert_int_equal(verify(&made), -EBADMSG);
        made.digest[i] ^= 0x80;
    }
    made.modulus[made.size - 1] ^= 0x02; /* odd, as a modulus is */
    assert_int_equal(verify(&made), -EBADMSG);
    made.modulus[made.size - 1] ^= 0x03; /* even */
    assert_int_equal(verify(&made), -EBADMSG);
    made.modulus[made.size - 1] ^= 0x01;
    assert_int_equal(verify(&made), 0);
}

static void refuses_another_hash_padding_or_key(void **state)
{
    (void)state;
    Signed made = sign("2048", CRYPTO_SHA512, RSA_PKCS1_PADDING);
    const Signed other = sign("4096", CRYPTO_SHA512, RSA_PKCS1_PADDING);

    made.hash = CRYPTO_SHA256; /* of which the digest has enough bytes */
    assert_int_equal(verify(&made), -EBADMSG);
    made.hash = CRYPTO_SHA512;
    assert_int_equal(verify(&made), 0);
    assert_int_equal(crypto_verify_rsa((CryptoBytes){ other.modulus, other.size }, made.hash,
                                       made.digest, (CryptoBytes){ made.signature, made.size }),
                     -EBADMSG);
    made = sign("2048", CRYPTO_SHA256, RSA_PKCS1_PSS_PADDING);
    assert_int_equal(verify(&made), -EBADMSG);
}

static void refuses_signatures_and_keys_of_no_size(void **state)
{
    (void)state;
    Signed made = sign("2048", CRYPTO_SHA256, RSA_PKCS1_PADDING);
    const CryptoBytes modulus = { made.modulus, made.size };
    static const uint8_t zeros[256];

    for (size_t less = 1; less < 3; less++)
        assert_int_equal(crypto_verify_rsa(modulus, made.hash, made.digest,
                                           (CryptoBytes){ made.signature, made.size - less }),
                         -EBADMSG);
    assert_int_equal(crypto_verify_rsa(modulus, made.hash, made.digest,
                                       (CryptoBytes){ made.signature, made.size + 1 }),
                     -EBADMSG);
    assert_int_equal(crypto_verify_rsa(modulus, made.hash, made.digest, no_bytes()), -EBADMSG);
    assert_int_equal(crypto_verify_rsa(no_bytes(), made.hash, made.digest,
                                       (CryptoBytes){ made.signature, made.size }),
                     -EBADMSG);
    assert_int_equal(crypto_verify_rsa((CryptoBytes){ zeros, sizeof(zeros) }, made.hash,
                                       made.digest, (CryptoBytes){ zeros, sizeof(zeros) }),
                     -EBADMSG);
    /* 0 and 1 are their own powers. */
    assert_int_equal(
        crypto_verify_rsa(modulus, made.hash, made.digest, (CryptoBytes){ zeros, sizeof(zeros) }),
        -EBADMSG);
}

/* --- memory --- */

typedef int (*Operation)(void *argument);

/* Returns how many allocations the operation needs: when each of them has failed once, and that
 * was told as nothing else. */
static size_t fail_each_allocation(Operation operation, void *argument)
{
    for (size_t failing = 1;; failing++) {
        allocations.failing = failing;
        allocations.has_failed = false;
        int r = operation(argument);
        allocations.failing = 0;

        if (!allocations.has_failed) {
            assert_int_equal(r, 0);
            return failing - 1;
        }
        assert_int_equal(r, -ENOMEM);
    }
}

static int verify_operation(void *argument)
{
    return verify(argument);
}

static int hash_operation(void *argument)
{
    uint8_t digest[CRYPTO_HASH_SIZE_MAX];

    return crypto_hash(CRYPTO_SHA512, argument, 1, digest);
}

static int derive_operation(void *argument)
{
    uint8_t output[CRYPTO_KEY_SIZE];

    return crypto_derive(CRYPTO_SHA256, *(CryptoBytes *)argument, no_bytes(), no_bytes(), output,
                         sizeof(output));
}

static int seal_operation(void *argument)
{
    static const uint8_t key[CRYPTO_KEY_SIZE];
    uint8_t sealed[SEALED_SIZE];

    return crypto_seal(key, no_bytes(), *(CryptoBytes *)argument, sealed);
}

static int open_operation(void *argument)
{
    uint8_t key[BYTES_MAX], plain[sizeof(PLAIN)];

    (void)counted(key, 0, CRYPTO_KEY_SIZE);
    return crypto_open(key, text_bytes(MORE), *(CryptoBytes *)argument, plain);
}

static void no_memory_is_not_taken_for_altered_bytes(void **state)
{
    (void)state;
    Signed made = sign("2048", CRYPTO_SHA256, RSA_PKCS1_PADDING);
    uint8_t key[BYTES_MAX], sealed[SEALED_SIZE];
    CryptoBytes text = text_bytes(PLAIN), sealed_bytes = { sealed, sizeof(sealed) };

    get_sealed(key, sealed);
    assert_true(fail_each_allocation(verify_operation, &made) > 2);
    assert_true(fail_each_allocation(hash_operation, &text) > 0);
    assert_true(fail_each_allocation(derive_operation, &text) > 0);
    assert_true(fail_each_allocation(seal_operation, &text) > 0);
    assert_true(fail_each_allocation(open_operation, &sealed_bytes) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_that_of_the_parts_one_behind_the_other),
        cmocka_unit_test(hash_of_nothing_is_one_too),
        cmocka_unit_test(derives_as_the_test_cases_of_rfc_5869),
        cmocka_unit_test(derives_at_most_255_hashes),
        cmocka_unit_test(opens_what_another_implementation_has_sealed),
        cmocka_unit_test(nothing_is_opened_once_a_bit_has_changed),
        cmocka_unit_test(what_is_shorter_than_a_nonce_and_a_tag_is_not_opened),
        cmocka_unit_test(openssl_opens_what_is_sealed),
        cmocka_unit_test(every_seal_has_a_nonce_of_its_own),
        cmocka_unit_test(takes_the_signatures_of_keys_of_each_size),
        cmocka_unit_test(refuses_what_is_not_the_signature_of_the_digest),
        cmocka_unit_test(refuses_another_hash_padding_or_key),
        cmocka_unit_test(refuses_signatures_and_keys_of_no_size),
        cmocka_unit_test(no_memory_is_not_taken_for_altered_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
