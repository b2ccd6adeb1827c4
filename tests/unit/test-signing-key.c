/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/signing-key.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#define DATA "what is signed"

/* Keys take time to make: one of each for all tests. */
typedef struct Keys {
    char directory[64];
    char rsa[96], ec[96], ec384[96], ec521[96], junk[96]; /* paths */
} Keys;

static void write_key(char path[static 96], const Keys *keys, const char *name, EVP_PKEY *key)
{
    (void)snprintf(path, 96, "%s/%s", keys->directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_non_null(key);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    EVP_PKEY_free(key);
}

static int make_keys(void **state)
{
    Keys *keys = calloc(1, sizeof(*keys));

    assert_non_null(keys);
    (void)snprintf(keys->directory, sizeof(keys->directory), "/tmp/test-signing-key-XXXXXX");
    assert_non_null(mkdtemp(keys->directory));
    write_key(keys->rsa, keys, "rsa", EVP_RSA_gen(2048));
    write_key(keys->ec, keys, "ec", EVP_EC_gen("P-256"));
    write_key(keys->ec384, keys, "ec384", EVP_EC_gen("P-384"));
    write_key(keys->ec521, keys, "ec521", EVP_EC_gen("P-521"));
    (void)snprintf(keys->junk, sizeof(keys->junk), "%s/junk", keys->directory);
    *state = keys;
    return 0;
}

static int remove_keys(void **state)
{
    Keys *keys = *state;
    const char *paths[] = { keys->rsa, keys->ec, keys->ec384, keys->ec521, keys->junk };

    for (size_t i = 0; i < ELEMENTS_OF(paths); i++)
        (void)unlink(paths[i]); /* the last is not made by every test */
    (void)rmdir(keys->directory);
    free(keys);
    return 0;
}

static SigningKey *load(const char *path)
{
    SigningKey *key = NULL;

    assert_int_equal(signing_key_load(path, NULL, &key, NULL), 0);
    assert_non_null(key);
    return key;
}

/* Refused with these words. */
static void assert_not_loaded(const char *path, const char *certificate, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    SigningKey *key = NULL;

    assert_true(signing_key_load(path, certificate, &key, &error) < 0);
    assert_null(key);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

/* --- reading --- */

static void write_junk(const Keys *keys, const char *text, size_t size)
{
    FILE *file = fopen(keys->junk, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_junk_key(const Keys *keys, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    FILE *file = fopen(keys->junk, "we");

    assert_non_null(file);
    assert_non_null(key);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, cipher, cipher ? "word" : NULL,
                                               cipher ? 4 : 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
    EVP_PKEY_free(key);
}

static void keys_in_the_formats_of_rsa_and_ec_are_read(void **state)
{
    const Keys *keys = *state;
    _cleanup_(signing_key_freep) SigningKey *rsa = load(keys->rsa), *ec = load(keys->ec);
    EVP_PKEY *originals[] = { rsa->key, ec->key };

    for (size_t i = 0; i < ELEMENTS_OF(originals); i++) {
        BIO *file = BIO_new_file(keys->junk, "w");
        assert_non_null(file);
        /* As `openssl ecparam -genkey` writes it: the curve stands in front. */
        if (i == 1)
            assert_true(BIO_puts(file, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                                       "-----END EC PARAMETERS-----\n") > 0);
        assert_int_equal(
            PEM_write_bio_PrivateKey_traditional(file, originals[i], NULL, NULL, 0, NULL, NULL), 1);
        assert_int_equal(BIO_free(file), 1);
        _cleanup_(signing_key_freep) SigningKey *again = load(keys->junk);
        assert_int_equal(EVP_PKEY_eq(again->key, originals[i]), 1);
    }
}

static void files_that_are_no_keys_are_refused(void **state)
{
    const Keys *keys = *state;
    char large[64 << 10];

    assert_not_loaded("/nonexistent/key", NULL, "cannot open '/nonexistent/key'");
    assert_not_loaded(keys->directory, NULL, "is a directory");
    assert_not_loaded("/dev/zero", NULL, "is a character device");
    write_junk(keys, "", 0);
    assert_not_loaded(keys->junk, NULL, "has 0 bytes");
    memset(large, '\n', sizeof(large));
    write_junk(keys, large, sizeof(large));
    assert_not_loaded(keys->junk, NULL, "no private key in PEM");
    FILE *file = fopen(keys->junk, "ae");
    assert_non_null(file);
    assert_int_equal(fputc('\n', file), '\n');
    assert_int_equal(fclose(file), 0);
    assert_not_loaded(keys->junk, NULL, "has 65537 bytes");
}

static void keys_with_a_passphrase_are_refused_without_asking(void **state)
{
    const Keys *keys = *state;

    write_junk_key(keys, EVP_EC_gen("P-256"), EVP_aes_256_cbc());
    assert_not_loaded(keys->junk, NULL, "has a passphrase");
}

static void weak_and_other_keys_are_refused(void **state)
{
    const Keys *keys = *state;

    write_junk_key(keys, EVP_RSA_gen(1024), NULL);
    assert_not_loaded(keys->junk, NULL, "RSA key of 1024 bits; taken are 2048 to 8192");
    write_junk_key(keys, EVP_EC_gen("secp256k1"), NULL);
    assert_not_loaded(keys->junk, NULL, "on the curve secp256k1");
    write_junk_key(keys, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
    assert_not_loaded(keys->junk, NULL, "key of type ED25519");
}

/* --- certificates --- */

static void write_certificate(const Keys *keys, const SigningKey *key)
{
    FILE *file = fopen(keys->junk, "we");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, key->certificate), 1);
    assert_int_equal(fclose(file), 0);
}

static void a_certificate_of_its_own_is_of_the_key(void **state)
{
    const Keys *keys = *state;
    _cleanup_(signing_key_freep) SigningKey *key = load(keys->ec), *other = load(keys->ec384);
    _cleanup_(signing_key_freep) SigningKey *both = NULL;
    _cleanup_free_ uint8_t *certificate = NULL, *public_key = NULL, *other_public_key = NULL;
    size_t certificate_size, public_key_size, other_size;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    assert_int_equal(X509_verify(key->certificate, key->key), 1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(key->certificate)), -1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(key->certificate)), 1);
    write_certificate(keys, key);
    assert_int_equal(signing_key_load(keys->ec, keys->junk, &both, NULL), 0);
    assert_int_equal(X509_cmp(both->certificate, key->certificate), 0);
    assert_not_loaded(keys->ec384, keys->junk, "is of another key");
    assert_not_loaded(keys->ec, keys->ec, "no certificate in PEM");

    assert_int_equal(
        signing_key_encode(key, &certificate, &certificate_size, &public_key, &public_key_size), 0);
    assert_int_equal(
        certificate_check_key(certificate, certificate_size, public_key, public_key_size, NULL), 0);
    assert_int_equal(signing_key_add_certificate(other, "somebody", NULL), 0);
    free(TAKE_PTR(certificate));
    assert_int_equal(
        signing_key_encode(other, &certificate, &certificate_size, &other_public_key, &other_size),
        0);
    assert_int_equal(
        certificate_check_key(certificate, certificate_size, public_key, public_key_size, &error),
        -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "another public key"));
}

static void a_certificate_is_set_for_its_own_key_only(void **state)
{
    const Keys *keys = *state;
    _cleanup_(signing_key_freep) SigningKey *key = load(keys->ec), *again = load(keys->ec);
    _cleanup_(signing_key_freep) SigningKey *other = load(keys->ec384);
    _cleanup_free_ uint8_t *certificate = NULL, *public_key = NULL;
    size_t size, public_key_size;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    assert_int_equal(signing_key_encode(key, &certificate, &size, &public_key, &public_key_size),
                     0);
    assert_int_equal(signing_key_set_certificate(again, certificate, size, NULL), 0);
    assert_int_equal(X509_cmp(again->certificate, key->certificate), 0);
    assert_int_equal(signing_key_set_certificate(other, certificate, size, &error), -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "another key"));
    assert_null(other->certificate);
    assert_int_equal(signing_key_set_certificate(again, certificate, size - 1, NULL), -EINVAL);
    assert_int_equal(signing_key_set_certificate(again, certificate, 0, NULL), -EINVAL);
    assert_non_null(again->certificate);
}

static void a_name_that_is_too_long_for_a_certificate_is_told(void **state)
{
    _cleanup_(signing_key_freep) SigningKey *key = load(((Keys *)*state)->ec);
    char name[66] = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    memset(name, 'n', 64);
    assert_int_equal(signing_key_add_certificate(key, name, NULL), 0);
    name[64] = 'n';
    assert_true(signing_key_add_certificate(key, name, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "too long"));
    assert_non_null(key->certificate); /* the earlier one stays */
}

static void bytes_behind_a_certificate_and_cut_ones_are_refused(void **state)
{
    _cleanup_(signing_key_freep) SigningKey *key = load(((Keys *)*state)->ec);
    _cleanup_free_ uint8_t *certificate = NULL, *public_key = NULL;
    size_t certificate_size, public_key_size;
    uint8_t longer[2048] = { 0 };

    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    assert_int_equal(
        signing_key_encode(key, &certificate, &certificate_size, &public_key, &public_key_size), 0);
    assert_in_range(certificate_size, 1, sizeof(longer) - 1);
    memcpy(longer, certificate, certificate_size);
    for (size_t size = 0; size <= certificate_size + 1; size++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        int r = certificate_check_key(longer, size, public_key, public_key_size, &error);

        assert_int_equal(r, size == certificate_size ? 0 : -EBADMSG);
        if (r < 0)
            assert_non_null(strstr(error_get_message(&error), "not one certificate"));
    }
}

static void a_key_that_is_made_and_written_is_read_with_its_certificate(void **state)
{
    const Keys *keys = *state;
    _cleanup_(signing_key_freep) SigningKey *key = NULL, *again = NULL, *both = NULL;
    struct stat status;
    bool made = true;

    assert_int_equal(signing_key_generate(&key, NULL), 0);
    assert_null(key->certificate);
    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    write_junk(keys, "", 0);
    assert_int_equal(chmod(keys->junk, 0666), 0);
    FILE *file = fopen(keys->junk, "we");
    assert_non_null(file);
    assert_int_equal(signing_key_write(key, fileno(file), NULL), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(stat(keys->junk, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);

    again = load(keys->junk);
    assert_int_equal(EVP_PKEY_eq(again->key, key->key), 1);
    assert_int_equal(signing_key_complete(again, keys->junk, "nobody", &made, NULL), 0);
    assert_false(made);
    assert_int_equal(X509_cmp(again->certificate, key->certificate), 0);
    assert_int_equal(signing_key_load(keys->junk, keys->junk, &both, NULL), 0);
    assert_int_equal(X509_cmp(both->certificate, key->certificate), 0);
}

static void a_key_without_a_certificate_gets_one(void **state)
{
    const Keys *keys = *state;
    _cleanup_(signing_key_freep) SigningKey *key = load(keys->ec), *other = load(keys->ec384);
    _cleanup_(error_clear) Error error = ERROR_INIT, damaged = ERROR_INIT;
    static const char bad[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    bool made = false;

    assert_int_equal(signing_key_complete(key, keys->ec, "somebody", &made, NULL), 0);
    assert_true(made);
    assert_int_equal(X509_verify(key->certificate, key->key), 1);
    write_certificate(keys, key);
    assert_true(signing_key_complete(other, keys->junk, "somebody", &made, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "of another key"));
    assert_null(other->certificate);
    write_junk(keys, bad, strlen(bad));
    assert_true(signing_key_complete(other, keys->junk, "somebody", &made, &damaged) < 0);
    assert_non_null(strstr(error_get_message(&damaged), "a damaged certificate"));
    assert_not_loaded(keys->ec384, keys->junk, "a damaged certificate");
}

/* --- signatures --- */

typedef struct Signed {
    uint8_t *public_key, *certificate;
    size_t public_key_size, certificate_size;
    uint8_t signature[SIGNATURE_SIZE_MAX + 1];
    size_t size;
} Signed;

static void sign(const char *path, const SignatureAlgorithm *algorithm, Signed *ret_signed)
{
    _cleanup_(signing_key_freep) SigningKey *key = load(path);

    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    assert_int_equal(signing_key_encode(key, &ret_signed->certificate,
                                        &ret_signed->certificate_size, &ret_signed->public_key,
                                        &ret_signed->public_key_size),
                     0);
    assert_int_equal(signing_key_sign(key, algorithm, DATA, strlen(DATA), ret_signed->signature,
                                      &ret_signed->size, NULL),
                     0);
    assert_in_range(ret_signed->size, 1, SIGNATURE_SIZE_MAX);
    ret_signed->signature[ret_signed->size] = 0;
}

static void signed_free(Signed *given)
{
    free(given->public_key);
    free(given->certificate);
}

/* Verified when @words is NULL, else refused with them. */
static void assert_verifies(const Signed *given,
                            const SignatureAlgorithm *algorithm,
                            const char *data,
                            size_t signature_size,
                            const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    int r = signature_verify(given->public_key, given->public_key_size, algorithm, data,
                             strlen(data), given->signature, signature_size, &error);

    assert_int_equal(r, words ? -EBADMSG : 0);
    if (words && !strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void each_algorithm_signs_and_verifies_and_no_other_data(void **state)
{
    static const struct {
        SignatureAlgorithmId id;
        size_t path;
    } cases[] = {
        { SIGNATURE_RSA_PSS_SHA256, offsetof(Keys, rsa) },
        { SIGNATURE_RSA_PSS_SHA512, offsetof(Keys, rsa) },
        { SIGNATURE_RSA_PKCS1_SHA256, offsetof(Keys, rsa) },
        { SIGNATURE_RSA_PKCS1_SHA512, offsetof(Keys, rsa) },
        { SIGNATURE_VERITY_RSA_PKCS1_SHA256, offsetof(Keys, rsa) },
        { SIGNATURE_ECDSA_SHA256, offsetof(Keys, ec) },
        { SIGNATURE_ECDSA_SHA512, offsetof(Keys, ec384) },
        { SIGNATURE_ECDSA_SHA512, offsetof(Keys, ec521) },
        { SIGNATURE_VERITY_ECDSA_SHA256, offsetof(Keys, ec) },
    };
    const Keys *keys = *state;

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const SignatureAlgorithm *algorithm = signature_algorithm_find(cases[i].id);
        _cleanup_(signed_free) Signed given = { 0 };

        sign((const char *)keys + cases[i].path, algorithm, &given);
        assert_verifies(&given, algorithm, DATA, given.size, NULL);
        assert_verifies(&given, algorithm, "what was signed", given.size, "is not one of this");
        assert_verifies(&given, algorithm, DATA, given.size - 1, "is not one of this");
        assert_verifies(&given, algorithm, DATA, given.size + 1, "is not one of this");
        assert_verifies(&given, algorithm, DATA, 0, "is not one of this");
        given.signature[given.size / 2] ^= 1;
        assert_verifies(&given, algorithm, DATA, given.size, "is not one of this");
    }
}

static void paddings_and_hashes_are_not_taken_for_each_other(void **state)
{
    static const SignatureAlgorithmId ids[] = {
        SIGNATURE_RSA_PSS_SHA256,
        SIGNATURE_RSA_PSS_SHA512,
        SIGNATURE_RSA_PKCS1_SHA256,
        SIGNATURE_RSA_PKCS1_SHA512,
    };

    for (size_t i = 0; i < ELEMENTS_OF(ids); i++) {
        _cleanup_(signed_free) Signed given = { 0 };

        sign(((Keys *)*state)->rsa, signature_algorithm_find(ids[i]), &given);
        for (size_t j = 0; j < ELEMENTS_OF(ids); j++)
            assert_verifies(&given, signature_algorithm_find(ids[j]), DATA, given.size,
                            i == j ? NULL : "is not one of this");
    }
}

static void a_salt_of_another_length_is_not_taken(void **state)
{
    const SignatureAlgorithm *algorithm = signature_algorithm_find(SIGNATURE_RSA_PSS_SHA256);
    _cleanup_(signing_key_freep) SigningKey *key = load(((Keys *)*state)->rsa);
    _cleanup_(signed_free) Signed given = { 0 };
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding;

    sign(((Keys *)*state)->rsa, algorithm, &given);
    assert_int_equal(EVP_DigestSignInit(context, &padding, EVP_sha256(), NULL, key->key), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, 20), 1);
    given.size = SIGNATURE_SIZE_MAX;
    assert_int_equal(
        EVP_DigestSign(context, given.signature, &given.size, (const uint8_t *)DATA, strlen(DATA)),
        1);
    EVP_MD_CTX_free(context);
    assert_verifies(&given, algorithm, DATA, given.size, "is not one of this");
}

static void keys_of_another_type_than_the_algorithm_are_named(void **state)
{
    const Keys *keys = *state;
    const SignatureAlgorithm *rsa = signature_algorithm_find(SIGNATURE_RSA_PKCS1_SHA256);
    const SignatureAlgorithm *ec = signature_algorithm_find(SIGNATURE_ECDSA_SHA256);
    _cleanup_(signing_key_freep) SigningKey *key = load(keys->ec);
    _cleanup_(signed_free) Signed by_rsa = { 0 }, by_ec = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    sign(keys->rsa, rsa, &by_rsa);
    sign(keys->ec, ec, &by_ec);
    assert_verifies(&by_rsa, ec, DATA, by_rsa.size, "ecdsa-sha256 with a key of type RSA");
    assert_verifies(&by_ec, rsa, DATA, by_ec.size, "rsa-pkcs1-sha256 with a key of type EC");
    assert_verifies(&by_ec, signature_algorithm_find(SIGNATURE_DSA_SHA256), DATA, by_ec.size,
                    "dsa-sha256: DSA is not taken");
    assert_verifies(&by_ec, signature_algorithm_find(SIGNATURE_VERITY_DSA_SHA256), DATA, by_ec.size,
                    "verity-dsa-sha256: DSA is not taken");
    assert_true(
        signing_key_sign(key, rsa, DATA, strlen(DATA), by_ec.signature, &by_ec.size, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "with a key of type EC"));
}

static void bytes_behind_a_public_key_and_cut_ones_are_refused(void **state)
{
    const SignatureAlgorithm *algorithm = signature_algorithm_find(SIGNATURE_ECDSA_SHA256);
    _cleanup_(signed_free) Signed given = { 0 };

    sign(((Keys *)*state)->ec, algorithm, &given);
    size_t whole = given.public_key_size;
    given.public_key = realloc(given.public_key, whole + 1);
    assert_non_null(given.public_key);
    given.public_key[whole] = 0;
    for (given.public_key_size = 0; given.public_key_size < whole; given.public_key_size++)
        assert_verifies(&given, algorithm, DATA, given.size, "are not a public key");
    given.public_key_size = whole + 1;
    assert_verifies(&given, algorithm, DATA, given.size, "others behind it");
}

/* A public key of any numbers, in DER: nobody has the private one. */
static void make_public_key(const char *type, size_t bits, uint8_t **ret_der, size_t *ret_size)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    BIGNUM *large = BN_new(), *small = BN_new();
    EVP_PKEY *key = NULL;
    uint8_t *der = NULL;

    assert_int_equal(BN_set_bit(large, (int)bits - 1) && BN_set_bit(large, 0), 1);
    assert_int_equal(BN_set_word(small, 65537), 1);
    if (strcmp(type, "RSA") == 0) {
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, large), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, small), 1);
    } else {
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_P, large), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_Q, small), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_G, small), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PUB_KEY, small), 1);
    }
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters), 1);
    int size = i2d_PUBKEY(key, &der);
    assert_true(size > 0);
    *ret_der = malloc((size_t)size); /* free() frees it, not OpenSSL */
    assert_non_null(*ret_der);
    memcpy(*ret_der, der, (size_t)size);
    *ret_size = (size_t)size;
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(large);
    BN_free(small);
}

static void public_keys_are_taken_up_to_the_limits_and_no_further(void **state)
{
    static const struct {
        const char *type;
        size_t bits;
        const char *words;
    } cases[] = {
        { "RSA", 2047, "RSA key of 2047 bits" },   { "RSA", 2048, "is not one of this" },
        { "RSA", 8192, "is not one of this" },     { "RSA", 8193, "RSA key of 8193 bits" },
        { "RSA", 16384, "RSA key of 16384 bits" }, { "DSA", 2048, "key of type DSA" },
    };
    const SignatureAlgorithm *algorithm = signature_algorithm_find(SIGNATURE_RSA_PKCS1_SHA256);

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(signed_free) Signed given = { 0 };

        make_public_key(cases[i].type, cases[i].bits, &given.public_key, &given.public_key_size);
        assert_verifies(&given, algorithm, DATA, cases[i].bits / 8, cases[i].words);
    }
}

static void the_algorithm_of_a_key_is_apksigners(void **state)
{
    const Keys *keys = *state;
    const struct {
        const char *path;
        SignatureAlgorithmId id;
    } cases[] = {
        { keys->rsa, SIGNATURE_RSA_PKCS1_SHA256 },
        { keys->ec, SIGNATURE_ECDSA_SHA256 },
        { keys->ec384, SIGNATURE_ECDSA_SHA512 },
        { keys->ec521, SIGNATURE_ECDSA_SHA512 },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(signing_key_freep) SigningKey *key = load(cases[i].path);

        assert_int_equal(signing_key_get_algorithm(key)->id, cases[i].id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_the_formats_of_rsa_and_ec_are_read),
        cmocka_unit_test(files_that_are_no_keys_are_refused),
        cmocka_unit_test(keys_with_a_passphrase_are_refused_without_asking),
        cmocka_unit_test(weak_and_other_keys_are_refused),
        cmocka_unit_test(a_certificate_of_its_own_is_of_the_key),
        cmocka_unit_test(a_name_that_is_too_long_for_a_certificate_is_told),
        cmocka_unit_test(a_certificate_is_set_for_its_own_key_only),
        cmocka_unit_test(bytes_behind_a_certificate_and_cut_ones_are_refused),
        cmocka_unit_test(a_key_that_is_made_and_written_is_read_with_its_certificate),
        cmocka_unit_test(a_key_without_a_certificate_gets_one),
        cmocka_unit_test(each_algorithm_signs_and_verifies_and_no_other_data),
        cmocka_unit_test(paddings_and_hashes_are_not_taken_for_each_other),
        cmocka_unit_test(a_salt_of_another_length_is_not_taken),
        cmocka_unit_test(keys_of_another_type_than_the_algorithm_are_named),
        cmocka_unit_test(bytes_behind_a_public_key_and_cut_ones_are_refused),
        cmocka_unit_test(public_keys_are_taken_up_to_the_limits_and_no_further),
        cmocka_unit_test(the_algorithm_of_a_key_is_apksigners),
    };

    return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
