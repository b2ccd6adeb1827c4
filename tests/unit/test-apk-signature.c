/* SPDX-License-Identifier: Apache-2.0 */
/* APKs with every fault that a signer could put into a signature of its own, signed with a real
 * key each time, so that what is refused is the fault and not a wrong signature. */
#include "composite-disk/apk-signature.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/apk-signing.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

#define VALUE_MAX 16384
#define LIST_MAX  40

/* What an APK is to be signed with; the numbers that are zero are those of a good one. */
typedef struct Recipe {
    ApkScheme scheme; /* 0: v3 */
    uint32_t block_id;
    uint32_t min_sdk, max_sdk, signed_min_sdk, signed_max_sdk;
    uint32_t signatures[LIST_MAX], digests[LIST_MAX]; /* ended by 0; none: ECDSA with SHA-256 */
    bool no_certificate, other_certificate, damaged_certificate, more_certificates;
    bool wrong_digest, short_digest, no_digest;
    uint32_t attribute; /* of scheme v2's guard, or one that nobody knows */
    bool attribute_without_value;
    bool bytes_behind_data, bytes_behind_digest, bytes_behind_key, bytes_behind_signers;
    unsigned n_signers; /* 0: one */
    bool no_signer;
    bool damaged_public_key;
} Recipe;

typedef struct Keys {
    SigningKey *key, *other;
    uint8_t *certificate, *public_key, *other_certificate, *other_public_key;
    size_t certificate_size, public_key_size, other_certificate_size, other_public_key_size;
} Keys;

static SigningKey *make_key(void)
{
    SigningKey *key = calloc(1, sizeof(*key));

    assert_non_null(key);
    key->key = EVP_EC_gen("P-256");
    assert_non_null(key->key);
    assert_int_equal(signing_key_add_certificate(key, "somebody", NULL), 0);
    return key;
}

static int make_keys(void **state)
{
    Keys *keys = calloc(1, sizeof(*keys));

    assert_non_null(keys);
    keys->key = make_key();
    keys->other = make_key();
    assert_int_equal(signing_key_encode(keys->key, &keys->certificate, &keys->certificate_size,
                                        &keys->public_key, &keys->public_key_size),
                     0);
    assert_int_equal(signing_key_encode(keys->other, &keys->other_certificate,
                                        &keys->other_certificate_size, &keys->other_public_key,
                                        &keys->other_public_key_size),
                     0);
    *state = keys;
    return 0;
}

static int free_keys(void **state)
{
    Keys *keys = *state;

    signing_key_free(keys->key);
    signing_key_free(keys->other);
    free(keys->certificate);
    free(keys->public_key);
    free(keys->other_certificate);
    free(keys->other_public_key);
    free(keys);
    return 0;
}

/* --- the value of the signing block, part by part --- */

/* A part is written first and gets its length afterwards. */
static size_t begin_part(ByteWriter *writer)
{
    byte_writer_put_le32(writer, 0);
    return writer->size;
}

static void end_part(ByteWriter *writer, size_t start)
{
    put_le(writer->data + start - 4, 4, (uint32_t)(writer->size - start));
}

static void put_part(ByteWriter *writer, const void *bytes, size_t size)
{
    size_t start = begin_part(writer);

    byte_writer_put_bytes(writer, bytes, size);
    end_part(writer, start);
}

static void put_digests(ByteWriter *writer, const Recipe *recipe, const ApkContent *content)
{
    size_t list = begin_part(writer);

    for (size_t i = 0; recipe->digests[i]; i++) {
        const SignatureAlgorithm *algorithm = signature_algorithm_find(recipe->digests[i]);
        ApkDigest digest = { .size = 32 };
        size_t item = begin_part(writer);

        if (algorithm && algorithm->content_digest != CONTENT_DIGEST_VERITY_SHA256)
            assert_int_equal(
                apk_digest_compute(content, algorithm->content_digest, 1, NULL, &digest, NULL), 0);
        digest.bytes[0] ^= recipe->wrong_digest;
        byte_writer_put_le32(writer, recipe->digests[i]);
        put_part(writer, digest.bytes, recipe->no_digest ? 0 : digest.size - recipe->short_digest);
        if (recipe->bytes_behind_digest)
            byte_writer_put_u8(writer, 0);
        end_part(writer, item);
    }
    end_part(writer, list);
}

static void put_certificates(ByteWriter *writer, const Recipe *recipe, const Keys *keys)
{
    size_t list = begin_part(writer);

    if (recipe->other_certificate)
        put_part(writer, keys->other_certificate, keys->other_certificate_size);
    else if (!recipe->no_certificate)
        put_part(writer, keys->certificate, keys->certificate_size - recipe->damaged_certificate);
    if (recipe->more_certificates)
        put_part(writer, "not read", 8);
    end_part(writer, list);
}

static void put_signed_data(ByteWriter *writer,
                            const Recipe *recipe,
                            const Keys *keys,
                            const ApkContent *content)
{
    put_digests(writer, recipe, content);
    put_certificates(writer, recipe, keys);
    if (recipe->scheme == APK_SCHEME_V3) {
        byte_writer_put_le32(writer, recipe->signed_min_sdk);
        byte_writer_put_le32(writer, recipe->signed_max_sdk);
    }
    size_t list = begin_part(writer);
    if (recipe->attribute) {
        size_t item = begin_part(writer);
        byte_writer_put_le32(writer, recipe->attribute);
        if (!recipe->attribute_without_value)
            byte_writer_put_le32(writer, 3);
        end_part(writer, item);
    }
    end_part(writer, list);
    if (recipe->bytes_behind_data)
        byte_writer_put_le32(writer, 0);
}

static void put_signatures(
    ByteWriter *writer, const Recipe *recipe, const Keys *keys, const uint8_t *data, size_t size)
{
    size_t list = begin_part(writer);

    for (size_t i = 0; recipe->signatures[i]; i++) {
        const SignatureAlgorithm *algorithm = signature_algorithm_find(recipe->signatures[i]);
        uint8_t signature[SIGNATURE_SIZE_MAX] = { 0 };
        size_t signature_size = 70, item = begin_part(writer);

        if (algorithm && algorithm->key_type == SIGNATURE_KEY_EC)
            assert_int_equal(signing_key_sign(keys->key, algorithm, data, size, signature,
                                              &signature_size, NULL),
                             0);
        byte_writer_put_le32(writer, recipe->signatures[i]);
        put_part(writer, signature, signature_size);
        end_part(writer, item);
    }
    end_part(writer, list);
}

static void put_signer(ByteWriter *writer,
                       const Recipe *recipe,
                       const Keys *keys,
                       const ApkContent *content)
{
    size_t signer = begin_part(writer), data = begin_part(writer);

    put_signed_data(writer, recipe, keys, content);
    end_part(writer, data);
    size_t data_size = writer->size - data;
    if (recipe->scheme == APK_SCHEME_V3) {
        byte_writer_put_le32(writer, recipe->min_sdk);
        byte_writer_put_le32(writer, recipe->max_sdk);
    }
    put_signatures(writer, recipe, keys, writer->data + data, data_size);
    put_part(writer, keys->public_key, keys->public_key_size - recipe->damaged_public_key);
    if (recipe->bytes_behind_key)
        byte_writer_put_u8(writer, 0);
    end_part(writer, signer);
}

static Recipe complete(Recipe recipe)
{
    if (recipe.scheme == 0)
        recipe.scheme = APK_SCHEME_V3;
    if (recipe.block_id == 0)
        recipe.block_id = recipe.scheme == APK_SCHEME_V3 ? APK_BLOCK_V3 : APK_BLOCK_V2;
    if (recipe.min_sdk == 0)
        recipe.min_sdk = APK_SDK_MIN;
    if (recipe.max_sdk == 0)
        recipe.max_sdk = APK_SDK_NEWEST;
    if (recipe.signed_min_sdk == 0)
        recipe.signed_min_sdk = recipe.min_sdk;
    if (recipe.signed_max_sdk == 0)
        recipe.signed_max_sdk = recipe.max_sdk;
    if (recipe.signatures[0] == 0)
        recipe.signatures[0] = SIGNATURE_ECDSA_SHA256;
    if (recipe.digests[0] == 0)
        memcpy(recipe.digests, recipe.signatures, sizeof(recipe.digests));
    if (recipe.n_signers == 0 && !recipe.no_signer)
        recipe.n_signers = 1;
    return recipe;
}

static MadeZip make_unsigned(void)
{
    static const MadeEntry entries[] = { { { .name = "AndroidManifest.xml" }, "<manifest/>" },
                                         { { .name = "lib/a.so", .alignment = 4096 }, "code" } };

    return made_zip_new(entries, ELEMENTS_OF(entries));
}

static MadeZip make(const Keys *keys, Recipe given)
{
    const Recipe recipe = complete(given);
    MadeZip zip = make_unsigned();
    ByteSource source = made_zip_source(&zip);
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    _cleanup_free_ uint8_t *block = NULL, *value = malloc(VALUE_MAX);
    size_t block_size;

    assert_non_null(value);
    assert_int_equal(apk_parts_read(&source, &parts, NULL), 0);
    ByteWriter writer = byte_writer(value, VALUE_MAX);
    size_t list = begin_part(&writer);
    for (unsigned i = 0; i < recipe.n_signers; i++)
        put_signer(&writer, &recipe, keys, &parts.content);
    end_part(&writer, list);
    if (recipe.bytes_behind_signers)
        byte_writer_put_u8(&writer, 0);
    assert_int_equal(byte_writer_finish(&writer), 0);

    assert_int_equal(
        apk_signing_block_make(recipe.block_id, value, writer.size, &block, &block_size), 0);
    size_t offset = (size_t)parts.sections.directory_offset;
    made_zip_insert(&zip, offset, block_size);
    memcpy(zip.data + offset, block, block_size);
    put_le(made_zip_end(&zip) + ZIP_END_OFFSET_FIELD, 4, (uint32_t)(offset + block_size));
    return zip;
}

/* --- */

static int verify(const MadeZip *zip,
                  const ApkVerifyOptions *options,
                  ApkSignature **ret_signature,
                  Error *error)
{
    ByteSource source = made_zip_source(zip);

    return apk_signature_verify(&source, options, ret_signature, error);
}

/* Verified when @words is NULL, else refused with them. */
static void assert_verifies(const MadeZip *zip, const ApkVerifyOptions *options, const char *words)
{
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = verify(zip, options, &signature, &error);
    if (r < 0 && !words)
        fail_msg("refused: %s", error_get_message(&error));
    if (r == 0 && words)
        fail_msg("taken in spite of '%s'", words);
    if (words && !strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void assert_recipe(const Keys *keys, Recipe recipe, const char *words)
{
    static const ApkVerifyOptions options = { .n_threads = 1 };
    _cleanup_(made_zip_free) MadeZip zip = make(keys, recipe);

    assert_verifies(&zip, &options, words);
}

static void a_good_signature_tells_who_and_what(void **state)
{
    const Keys *keys = *state;
    _cleanup_(made_zip_free) MadeZip zip = make(keys, (Recipe){ 0 });
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    const ApkVerifyOptions options = { 0 };
    const SignatureAlgorithm *algorithm;
    ByteSource source = made_zip_source(&zip);
    ApkDigest digest;

    assert_int_equal(verify(&zip, &options, &signature, NULL), 0);
    assert_int_equal(signature->scheme, APK_SCHEME_V3);
    assert_int_equal(signature->algorithm->id, SIGNATURE_ECDSA_SHA256);
    assert_int_equal(signature->certificate_size, keys->certificate_size);
    assert_memory_equal(signature->certificate, keys->certificate, keys->certificate_size);
    assert_int_equal(signature->public_key_size, keys->public_key_size);
    assert_memory_equal(signature->public_key, keys->public_key, keys->public_key_size);
    assert_int_equal(apk_signature_read_digest(&source, 0, &digest, &algorithm, NULL), 0);
    assert_int_equal(digest.size, signature->digest.size);
    assert_memory_equal(digest.bytes, signature->digest.bytes, digest.size);
    assert_ptr_equal(algorithm, signature->algorithm);
}

static void faults_of_the_signer_are_refused_each_with_its_reason(void **state)
{
    static const struct {
        Recipe recipe;
        const char *words;
    } cases[] = {
        { { .no_signer = true }, "the APK signature has no signer" },
        { { .n_signers = 2 }, "2 signers of the APK count at once" },
        { { .signed_min_sdk = 29 },
          "is for SDK 28 to 2147483647, but has signed 29 to 2147483647" },
        { { .signed_max_sdk = 40 }, "is for SDK 28 to 2147483647, but has signed 28 to 40" },
        { { .max_sdk = 34 }, "none of the 1 signers of the APK is for SDK 2147483647" },
        { { .signatures = { SIGNATURE_DSA_SHA256 } }, "but these: 0x0301 dsa-sha256" },
        { { .signatures = { SIGNATURE_VERITY_DSA_SHA256, 0x9999 } },
          "0x0425 verity-dsa-sha256, 0x9999" },
        { { .signatures = { SIGNATURE_ECDSA_SHA256 }, .digests = { SIGNATURE_ECDSA_SHA512 } },
          "not of the same algorithms" },
        { { .signatures = { SIGNATURE_ECDSA_SHA256 },
            .digests = { SIGNATURE_ECDSA_SHA256, SIGNATURE_ECDSA_SHA512 } },
          "1 signatures and the 2 digests that it has signed" },
        { { .signatures = { SIGNATURE_ECDSA_SHA256, SIGNATURE_ECDSA_SHA512 },
            .digests = { SIGNATURE_ECDSA_SHA512, SIGNATURE_ECDSA_SHA256 } },
          "not of the same algorithms" },
        { { .no_certificate = true }, "the signer has no certificate" },
        { { .other_certificate = true }, "of another public key than the signer's" },
        { { .damaged_certificate = true }, "not one certificate" },
        { { .damaged_public_key = true }, "not a public key" },
        { { .wrong_digest = true }, "the APK has been changed" },
        { { .short_digest = true }, "has 31 bytes, one of its kind 32" },
        { { .no_digest = true }, "has 0 bytes, one of its kind 32" },
        { { .signatures = { SIGNATURE_RSA_PKCS1_SHA512, SIGNATURE_ECDSA_SHA256 } },
          "rsa-pkcs1-sha512 with a key of type EC" },
        { { .signatures = { SIGNATURE_VERITY_ECDSA_SHA256 } }, "over a verity digest" },
        { { .bytes_behind_digest = true }, "digest in the APK signing block ends outside" },
        { { .bytes_behind_data = true }, "4 bytes behind the data that is signed" },
        { { .bytes_behind_key = true }, "1 bytes behind a signer's public key" },
        { { .bytes_behind_signers = true }, "1 bytes behind the signers" },
        { { .block_id = 0x1b93ad61 }, "signed with neither scheme v3 nor v2" },
        { { .scheme = APK_SCHEME_V2 }, "signed with scheme v2 only" },
        { { .scheme = APK_SCHEME_V2, .block_id = APK_BLOCK_V3 }, "ends outside what it is in" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_recipe(*state, cases[i].recipe, cases[i].words);
}

static void what_nobody_knows_and_further_certificates_are_passed_over(void **state)
{
    assert_recipe(*state, (Recipe){ .attribute = 0x12345678 }, NULL);
    assert_recipe(*state, (Recipe){ .attribute = 0x12345678, .attribute_without_value = true },
                  NULL);
    assert_recipe(*state, (Recipe){ .more_certificates = true }, NULL);
    assert_recipe(*state, (Recipe){ .signatures = { 0x9999, SIGNATURE_ECDSA_SHA256 } }, NULL);
    assert_recipe(*state,
                  (Recipe){ .signatures = { SIGNATURE_DSA_SHA256, SIGNATURE_ECDSA_SHA256 } }, NULL);
}

static void the_strongest_signature_counts(void **state)
{
    static const ApkVerifyOptions options = { 0 };
    _cleanup_(made_zip_free) MadeZip zip =
        make(*state, (Recipe){ .signatures = { SIGNATURE_ECDSA_SHA256, SIGNATURE_ECDSA_SHA512,
                                               SIGNATURE_DSA_SHA256 } });
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;

    assert_int_equal(verify(&zip, &options, &signature, NULL), 0);
    assert_int_equal(signature->algorithm->id, SIGNATURE_ECDSA_SHA512);
    assert_int_equal(signature->digest.size, 64);
}

static void signers_are_chosen_by_the_version(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make(*state, (Recipe){ .min_sdk = 30, .max_sdk = 34 });
    static const struct {
        uint32_t sdk;
        const char *words;
    } cases[] = {
        { 29, "for SDK 29" }, { 30, NULL },          { 34, NULL },
        { 35, "for SDK 35" }, { 0, "for SDK 2147" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_verifies(&zip, &(ApkVerifyOptions){ .sdk = cases[i].sdk, .n_threads = 1 },
                        cases[i].words);
}

static void scheme_v2_is_taken_only_when_it_is_asked_for(void **state)
{
    static const ApkVerifyOptions v2 = { .allow_v2 = true, .n_threads = 1 };
    _cleanup_(made_zip_free) MadeZip good =
        make(*state, (Recipe){ .scheme = APK_SCHEME_V2, .bytes_behind_data = true });
    _cleanup_(made_zip_free) MadeZip stripped =
        make(*state, (Recipe){ .scheme = APK_SCHEME_V2, .attribute = 0xbeeff00d });
    _cleanup_(made_zip_free) MadeZip damaged =
        make(*state, (Recipe){ .scheme = APK_SCHEME_V2,
                               .attribute = 0xbeeff00d,
                               .attribute_without_value = true });
    _cleanup_(made_zip_free) MadeZip two =
        make(*state, (Recipe){ .scheme = APK_SCHEME_V2, .n_signers = 2 });
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    const SignatureAlgorithm *algorithm;
    ByteSource source = made_zip_source(&good);
    ApkDigest digest;

    assert_int_equal(verify(&good, &v2, &signature, NULL), 0);
    assert_int_equal(signature->scheme, APK_SCHEME_V2);
    assert_verifies(&good, &(ApkVerifyOptions){ 0 }, "scheme v2 only");
    assert_verifies(&stripped, &v2, "signature of scheme v3 was taken out");
    assert_verifies(&damaged, &v2, "an attribute in the APK signing block ends outside");
    assert_verifies(&two, &v2, "2 signers of the APK");
    assert_int_equal(apk_signature_read_digest(&source, 0, &digest, &algorithm, NULL), 0);
    assert_memory_equal(digest.bytes, signature->digest.bytes, 32);
}

static void a_digest_of_no_bytes_is_not_read(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make(*state, (Recipe){ .no_digest = true });
    ByteSource source = made_zip_source(&zip);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const SignatureAlgorithm *algorithm;
    ApkDigest digest;

    assert_int_equal(apk_signature_read_digest(&source, 0, &digest, &algorithm, &error), -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "has 0 bytes; taken are 1 to 64"));
}

static void limits_of_lists_are_met_and_kept(void **state)
{
    Recipe most = { 0 }, more;

    for (size_t i = 0; i < APK_ALGORITHMS_MAX; i++)
        most.signatures[i] = i ? 0x9000 : SIGNATURE_ECDSA_SHA256;
    more = most;
    more.signatures[APK_ALGORITHMS_MAX] = 0x9000;
    assert_recipe(*state, most, NULL);
    assert_recipe(*state, more, "more than 32 of a signature");
    assert_recipe(*state, (Recipe){ .n_signers = APK_SIGNERS_MAX }, "16 signers of the APK count");
    assert_recipe(*state, (Recipe){ .n_signers = APK_SIGNERS_MAX + 1 }, "more than 16 signers");
}

static void any_byte_that_is_changed_is_noticed(void **state)
{
    static const ApkVerifyOptions options = { .n_threads = 1 };
    _cleanup_(made_zip_free) MadeZip zip = make(*state, (Recipe){ 0 });
    ByteSource source = made_zip_source(&zip);
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    ByteReader value = { 0 };

    assert_int_equal(apk_parts_read(&source, &parts, NULL), 0);
    assert_int_equal(apk_signing_block_find(&parts.block, APK_BLOCK_V3, &value, NULL), 1);
    size_t padding = (size_t)(parts.block.offset + 8 + 12 + value.size + 12);
    size_t padding_end = (size_t)(parts.sections.directory_offset - 24);
    for (size_t i = 0; i < zip.size; i++) {
        _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;

        if (i % 61 != 0 && (i < parts.block.offset || i > padding))
            continue; /* not all of the entries, to be quick */
        zip.data[i] ^= 0x10;
        int r = verify(&zip, &options, &signature, NULL);
        /* What fills the block up is nobody's; the number of that value, too. */
        if (i >= padding - 4 && i < padding_end)
            assert_int_equal(r, 0);
        else if (r == 0)
            fail_msg("byte %zu was changed, and nobody noticed", i);
        zip.data[i] ^= 0x10;
    }
}

static void every_cut_of_the_value_is_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make(*state, (Recipe){ 0 });
    ByteSource source = made_zip_source(&zip);
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    ByteReader value = { 0 };

    assert_int_equal(apk_parts_read(&source, &parts, NULL), 0);
    assert_int_equal(apk_signing_block_find(&parts.block, APK_BLOCK_V3, &value, NULL), 1);
    for (size_t size = 0; size < value.size; size++) {
        ApkSigner signer;

        assert_int_equal(
            apk_signer_find(APK_SCHEME_V3, byte_reader(value.data, size), 30, &signer, NULL),
            -EBADMSG);
    }
}

static void lengths_near_the_largest_are_refused(void **state)
{
    static const uint32_t lengths[] = { UINT32_MAX, UINT32_MAX - 3, INT32_MAX, 1U << 31 };
    uint8_t bytes[64];

    (void)state;
    /* At each place where a length can be: of the list, of a signer, of its data. */
    for (size_t at = 0; at <= 8; at += 4) {
        for (size_t i = 0; i < ELEMENTS_OF(lengths); i++) {
            ApkSigner signer;

            memset(bytes, 0, sizeof(bytes));
            put_le(bytes, 4, 60);
            put_le(bytes + 4, 4, 56);
            put_le(bytes + at, 4, lengths[i]);
            assert_int_equal(apk_signer_find(APK_SCHEME_V3, byte_reader(bytes, sizeof(bytes)), 30,
                                             &signer, NULL),
                             -EBADMSG);
        }
    }
}

/* --- signing --- */

static MadeZip sign(const MadeZip *zip, const SigningKey *key)
{
    _cleanup_close_ int fd = memfd_create("apk", MFD_CLOEXEC);
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL, *verified = NULL;
    static const ApkVerifyOptions options = { 0 };
    ByteSource source = made_zip_source(zip);
    MadeZip out;

    assert_int_equal(apk_sign(&source, key, fd, NULL, &signature, NULL), 0);
    out.size = (size_t)lseek(fd, 0, SEEK_END);
    out.data = malloc(out.size);
    assert_non_null(out.data);
    assert_int_equal(pread(fd, out.data, out.size, 0), out.size);
    assert_int_equal(verify(&out, &options, &verified, NULL), 0);
    assert_memory_equal(verified->digest.bytes, signature->digest.bytes, signature->digest.size);
    assert_int_equal(verified->certificate_size, signature->certificate_size);
    assert_memory_equal(verified->certificate, signature->certificate, signature->certificate_size);
    return out;
}

static void what_is_signed_verifies_and_entries_stay_where_they_are(void **state)
{
    const Keys *keys = *state;
    _cleanup_(made_zip_free) MadeZip zip = make_unsigned();
    _cleanup_(made_zip_free) MadeZip signed_zip = sign(&zip, keys->key);
    ByteSource source = made_zip_source(&signed_zip);
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    size_t entries_size = (size_t)(made_zip_record(&zip, 0) - zip.data);

    assert_memory_equal(zip.data, signed_zip.data, entries_size);
    assert_int_equal(apk_parts_read(&source, &parts, NULL), 0);
    assert_int_equal(parts.block.offset % 4096, 0);
    assert_int_equal(parts.sections.directory_offset % 4096, 0);
    assert_memory_equal(made_zip_record(&signed_zip, 0), made_zip_record(&zip, 0),
                        parts.sections.directory_size);
}

static void an_earlier_signature_is_replaced(void **state)
{
    const Keys *keys = *state;
    _cleanup_(made_zip_free) MadeZip zip =
        make(keys, (Recipe){ .scheme = APK_SCHEME_V2, .wrong_digest = true });
    _cleanup_(made_zip_free) MadeZip first = sign(&zip, keys->other);
    _cleanup_(made_zip_free) MadeZip second = sign(&first, keys->key);

    assert_int_equal(first.size, second.size);
    ByteSource source = made_zip_source(&second);
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    ByteReader value;
    assert_int_equal(apk_parts_read(&source, &parts, NULL), 0);
    assert_int_equal(apk_signing_block_find(&parts.block, APK_BLOCK_V2, &value, NULL), 0);
}

static void an_empty_zip_and_a_comment_are_signed(void **state)
{
    const Keys *keys = *state;
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(NULL, 0);

    put_le(made_zip_end(&zip) + 20, 2, 7);
    made_zip_insert(&zip, zip.size, 7);
    _cleanup_(made_zip_free) MadeZip signed_zip = sign(&zip, keys->key);
    assert_int_equal(get_le(signed_zip.data + signed_zip.size - 29, 4), 0x06054b50);
}

static void a_disk_that_is_full_is_told(void **state)
{
    const Keys *keys = *state;
    _cleanup_(made_zip_free) MadeZip zip = make_unsigned();
    _cleanup_close_ int fd = memfd_create("apk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = made_zip_source(&zip);

    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    assert_true(apk_sign(&source, keys->key, fd, NULL, &signature, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "cannot write the APK"));
    assert_null(signature);
}

static void a_zip_that_would_need_zip64_is_not_signed(void **state)
{
    const Keys *keys = *state;
    _cleanup_close_ int fd = memfd_create("large", MFD_CLOEXEC);
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t end[ZIP_END_SIZE] = { 'P', 'K', 5, 6 };
    const uint64_t size = UINT64_C(0xfffffff0);
    ByteSource source;

    put_le(end + ZIP_END_OFFSET_FIELD, 4, (uint32_t)size);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, end, sizeof(end), (off_t)size), sizeof(end));
    assert_int_equal(byte_source_from_fd(fd, "large", &source, NULL), 0);
    assert_true(apk_sign(&source, keys->key, -EBADF, NULL, &signature, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "too large to be signed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_signature_tells_who_and_what),
        cmocka_unit_test(faults_of_the_signer_are_refused_each_with_its_reason),
        cmocka_unit_test(what_nobody_knows_and_further_certificates_are_passed_over),
        cmocka_unit_test(the_strongest_signature_counts),
        cmocka_unit_test(signers_are_chosen_by_the_version),
        cmocka_unit_test(scheme_v2_is_taken_only_when_it_is_asked_for),
        cmocka_unit_test(a_digest_of_no_bytes_is_not_read),
        cmocka_unit_test(limits_of_lists_are_met_and_kept),
        cmocka_unit_test(any_byte_that_is_changed_is_noticed),
        cmocka_unit_test(every_cut_of_the_value_is_refused),
        cmocka_unit_test(lengths_near_the_largest_are_refused),
        cmocka_unit_test(what_is_signed_verifies_and_entries_stay_where_they_are),
        cmocka_unit_test(an_earlier_signature_is_replaced),
        cmocka_unit_test(an_empty_zip_and_a_comment_are_signed),
        cmocka_unit_test(a_disk_that_is_full_is_told),
        cmocka_unit_test(a_zip_that_would_need_zip64_is_not_signed),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
