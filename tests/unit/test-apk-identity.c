/* SPDX-License-Identifier: Apache-2.0 */
/* APKs signed here; what can be wrong with a signature is test-apk-signature's. */
#include "guest/apk-identity.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/apk-signing.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

#define BLOCK 4096

typedef struct Apk {
    SigningKey *key;
    ApkSignature *signature;
    uint8_t *partition; /* with a tail of zeros */
    size_t size, partition_size;
    uint8_t header[IDSIG_HEADER_MAX];
    size_t header_size;
} Apk;

static SigningKey *make_key(void)
{
    SigningKey *key = calloc(1, sizeof(*key));

    assert_non_null(key);
    key->key = EVP_EC_gen("P-256");
    assert_non_null(key->key);
    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    return key;
}

static int new_file(void)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* Makes the idsig of what is in @fd, signed with @key unless that is NULL. */
static void make_idsig(Apk *apk, int fd, const SigningKey *key)
{
    const IdsigOptions options = { .key = key, .n_threads = 1 };
    _cleanup_close_ int idsig_fd = new_file();
    ByteSource source, idsig_source;
    Idsig idsig;

    assert_int_equal(byte_source_from_fd(fd, "apk", &source, NULL), 0);
    const IdsigApk described = apk_idsig_describe(&source, apk->signature);
    assert_int_equal(idsig_file_write(&described, &options, idsig_fd, NULL), 0);
    assert_int_equal(byte_source_from_fd(idsig_fd, "idsig", &idsig_source, NULL), 0);
    assert_int_equal(idsig_file_read(&idsig_source, apk->header, &idsig, NULL), 0);
    apk->header_size = idsig.tree_offset;
}

/* The idsig is signed with @idsig_key, or with none. */
static void apk_init(Apk *apk, const char *content, SigningKey *key, const SigningKey *idsig_key)
{
    const MadeEntry entries[] = { { { .name = "assets/content" }, content } };
    MadeZip zip = made_zip_new(entries, ELEMENTS_OF(entries));
    ByteSource source = made_zip_source(&zip);
    _cleanup_close_ int fd = new_file();

    *apk = (Apk){ .key = key };
    assert_int_equal(apk_sign(&source, key, fd, NULL, &apk->signature, NULL), 0);
    made_zip_free(&zip);
    apk->size = (size_t)lseek(fd, 0, SEEK_END);
    apk->partition_size = (apk->size + BLOCK - 1) / BLOCK * BLOCK;
    apk->partition = calloc(1, apk->partition_size);
    assert_non_null(apk->partition);
    assert_int_equal(pread(fd, apk->partition, apk->size, 0), apk->size);
    make_idsig(apk, fd, idsig_key);
}

static void apk_deinit(Apk *apk)
{
    (void)signing_key_free(apk->key);
    (void)apk_signature_free(apk->signature);
    free(apk->partition);
}

static int verify(const Apk *apk, ApkIdentity *ret_identity, Error *error)
{
    const ByteSource partition = byte_source_from_memory(apk->partition, apk->partition_size);

    return apk_identity_verify(&partition, byte_reader(apk->header, apk->header_size), ret_identity,
                               error);
}

static void refuses(const Apk *apk, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApkIdentity identity = { .version = 77 };

    assert_true(verify(apk, &identity, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(identity.version, 77);
}

static void identity_is_the_hash_of_the_certificate(void **state)
{
    SigningKey *key = make_key();
    uint8_t hash[SHA512_DIGEST_LENGTH];
    ApkIdentity identity;

    (void)state;
    for (int i = 0; i < 2; i++) {
        _cleanup_(apk_deinit) Apk apk;

        apk_init(&apk, "content", i == 0 ? key : make_key(), i == 0 ? key : NULL);
        assert_int_equal(verify(&apk, &identity, NULL), 0);
        SHA512(apk.signature->certificate, apk.signature->certificate_size, hash);
        assert_memory_equal(identity.certificate_hash, hash, sizeof(hash));
    }
}

/* Entries, and the end record with what the directory before it is said to be. */
static void bytes_that_are_altered_are_found(void **state)
{
    _cleanup_(apk_deinit) Apk apk;
    ApkIdentity identity;

    (void)state;
    apk_init(&apk, "content", make_key(), NULL);
    for (size_t i = 0; i < 64 + ZIP_END_SIZE; i++) {
        size_t at = i < 64 ? i : apk.size - ZIP_END_SIZE + i - 64;

        apk.partition[at] ^= 1;
        assert_true(verify(&apk, &identity, NULL) < 0);
        apk.partition[at] ^= 1;
    }
    assert_int_equal(verify(&apk, &identity, NULL), 0);
}

static void idsig_is_that_of_this_apk(void **state)
{
    SigningKey *key = make_key();
    _cleanup_(apk_deinit) Apk apk, other;

    (void)state;
    apk_init(&apk, "content", key, key);
    apk_init(&other, "another", make_key(), NULL);
    memcpy(other.header, apk.header, apk.header_size);
    other.header_size = apk.header_size;
    refuses(&other, "the idsig is for another APK");
}

static void idsig_is_signed_by_the_apks_signer_if_at_all(void **state)
{
    SigningKey *other = make_key();
    _cleanup_(apk_deinit) Apk apk;

    (void)state;
    apk_init(&apk, "content", make_key(), other);
    refuses(&apk, "signed by another than the APK's signer");
    (void)signing_key_free(other);
}

static void header_of_the_idsig_is_all_of_it_and_no_more(void **state)
{
    _cleanup_(apk_deinit) Apk apk;

    (void)state;
    apk_init(&apk, "content", make_key(), NULL);
    apk.header_size++;
    refuses(&apk, "bytes of its tree");
    apk.header_size -= 2;
    refuses(&apk, "the idsig ends within");
    apk.header_size = 0;
    refuses(&apk, "the idsig ends within");
}

static void what_is_behind_the_apk_is_zeros(void **state)
{
    _cleanup_(apk_deinit) Apk apk;

    (void)state;
    apk_init(&apk, "content", make_key(), NULL);
    assert_true(apk.size < apk.partition_size);
    apk.partition[apk.partition_size - 1] = 1;
    refuses(&apk, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_the_hash_of_the_certificate),
        cmocka_unit_test(bytes_that_are_altered_are_found),
        cmocka_unit_test(idsig_is_that_of_this_apk),
        cmocka_unit_test(idsig_is_signed_by_the_apks_signer_if_at_all),
        cmocka_unit_test(header_of_the_idsig_is_all_of_it_and_no_more),
        cmocka_unit_test(what_is_behind_the_apk_is_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
