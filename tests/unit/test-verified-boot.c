/* SPDX-License-Identifier: Apache-2.0 */
/* vbmeta partitions that are made and signed here, and altered byte by byte. */
#include "guest/verified-boot.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta-make.h"
#include "tests/helpers/test.h"

#define PARTITION_SIZE 8192
#define BLOCK          MERKLE_BLOCK_SIZE

typedef struct Fixture {
    SigningKey *key, *large_key;
    AvbPublicKey trusted, large_trusted;
    uint8_t descriptors[4096];
    size_t descriptors_size;
    uint8_t partition[VBMETA_SIZE_MAX + 1]; /* zeros behind the structure */
    size_t structure_size;
} Fixture;

static void load_key(const char *name, SigningKey **ret_key, AvbPublicKey *ret_trusted)
{
    const char *top = getenv("top_srcdir");
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/tests/keys/%s", top ? top : ".", name);
    assert_int_equal(signing_key_load(path, NULL, ret_key, NULL), 0);
    assert_int_equal(avb_public_key_from_key((*ret_key)->key, ret_trusted, NULL), 0);
}

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    load_key("rsa-2048.pem", &fixture->key, &fixture->trusted);
    load_key("rsa-4096.pem", &fixture->large_key, &fixture->large_trusted);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    signing_key_free(fixture->key);
    signing_key_free(fixture->large_key);
    free(fixture);
    return 0;
}

/* --- making --- */

static AvbDescriptor hash_of(const char *name, char digit)
{
    static uint8_t digests[128][AVB_DIGEST_SIZE_MAX];
    AvbDescriptor descriptor = { .tag = AVB_HASH, .hash = { .image_size = 1000 } };

    memset(digests[(size_t)digit], digit, AVB_DIGEST_SIZE_MAX);
    strcpy(descriptor.hash.algorithm, "sha256");
    descriptor.hash.name = avb_bytes_from_string(name);
    descriptor.hash.salt = avb_bytes_from_string("salt");
    descriptor.hash.digest = (AvbBytes){ digests[(size_t)digit], CRYPTO_SHA256_SIZE };
    return descriptor;
}

static AvbDescriptor system_with(char digit)
{
    const AvbDescriptor hash = hash_of("super", digit);
    AvbDescriptor descriptor = {
        .tag = AVB_HASHTREE,
        .hashtree = { .dm_verity_version = 1,
                      .image_size = 100 * BLOCK,
                      .tree_offset = 101 * BLOCK,
                      .tree_size = BLOCK,
                      .data_block_size = BLOCK,
                      .hash_block_size = BLOCK,
                      .algorithm = "sha256",
                      .name = hash.hash.name,
                      .salt = hash.hash.salt,
                      .digest = hash.hash.digest },
    };

    return descriptor;
}

static void add(Fixture *fixture, AvbDescriptor descriptor)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteWriter writer = byte_writer(fixture->descriptors + fixture->descriptors_size,
                                    sizeof(fixture->descriptors) - fixture->descriptors_size);

    if (avb_descriptor_encode(&descriptor, &writer, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    fixture->descriptors_size += writer.size;
}

/* One letter a descriptor. */
static void add_all(Fixture *fixture, const char *letters)
{
    fixture->descriptors_size = 0;
    for (; *letters; letters++) {
        switch (*letters) {
        case 'k':
            add(fixture, hash_of("boot", 'k'));
            break;
        case 'n':
            add(fixture, hash_of("initrd_normal", 'n'));
            break;
        case 'd':
            add(fixture, hash_of("initrd_debug", 'd'));
            break;
        case 's':
            add(fixture, system_with('s'));
            break;
        default:
            fail();
        }
    }
}

static VbmetaContents contents_of(const Fixture *fixture)
{
    return (VbmetaContents){
        .algorithm = vbmeta_algorithm_find_name("SHA256_RSA2048"),
        .key = fixture->key,
        .descriptors = { fixture->descriptors, fixture->descriptors_size },
        .rollback_index = 7,
        .release = "test",
    };
}

static void sign(Fixture *fixture, const VbmetaContents *contents)
{
    _cleanup_free_ uint8_t *data = NULL;
    size_t size;

    assert_int_equal(vbmeta_make(contents, &data, &size, NULL), 0);
    assert_true(size < PARTITION_SIZE);
    memset(fixture->partition, 0, sizeof(fixture->partition));
    memcpy(fixture->partition, data, size);
    fixture->structure_size = size;
}

static void make(Fixture *fixture, const char *letters)
{
    add_all(fixture, letters);
    const VbmetaContents contents = contents_of(fixture);
    sign(fixture, &contents);
}

/* --- reading --- */

static int read_boot(const Fixture *fixture,
                     size_t size,
                     const AvbPublicKey *trusted,
                     bool is_debuggable,
                     VerifiedBoot *ret_boot,
                     Error *error)
{
    const ByteSource source = byte_source_from_memory(fixture->partition, size);

    return verified_boot_read(&source, (CryptoBytes){ trusted->bytes, trusted->size },
                              is_debuggable, ret_boot, error);
}

static VerifiedBoot read_well(const Fixture *fixture,
                              const AvbPublicKey *trusted,
                              bool is_debuggable)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot;

    if (read_boot(fixture, PARTITION_SIZE, trusted, is_debuggable, &boot, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return boot;
}

/* Returns the error; all that is refused is the image's fault, and nothing is given out. */
static int refuse(const Fixture *fixture, size_t size, bool is_debuggable, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot = { .rollback_index = 99 };

    int r = read_boot(fixture, size, &fixture->trusted, is_debuggable, &boot, &error);
    assert_true(r < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(&error), words);
    assert_int_equal(boot.rollback_index, 99);
    return r;
}

static void assert_refused(const Fixture *fixture, const char *words)
{
    assert_int_not_equal(refuse(fixture, PARTITION_SIZE, false, words), -EKEYREJECTED);
}

/* SHA-512 of another implementation. */
static void assert_sha512(const uint8_t *found, const void *data, size_t size)
{
    uint8_t digest[64];

    assert_int_equal(EVP_Digest(data, size, digest, NULL, EVP_sha512(), NULL), 1);
    assert_memory_equal(found, digest, sizeof(digest));
}

static void what_is_signed_is_measured(void **state)
{
    Fixture *fixture = *state;
    uint8_t code[3 * 32];

    make(fixture, "kdns");
    for (int is_debuggable = 0; is_debuggable < 2; is_debuggable++) {
        const VerifiedBoot boot = read_well(fixture, &fixture->trusted, is_debuggable == 1);

        memset(code, 'k', 32);
        memset(code + 32, is_debuggable ? 'd' : 'n', 32);
        memset(code + 64, 's', 32);
        assert_sha512(boot.code, code, sizeof(code));
        assert_sha512(boot.authority, fixture->trusted.bytes, fixture->trusted.size);
        assert_int_equal(boot.rollback_index, 7);
        assert_int_equal(boot.system.n_data_blocks, 100);
        assert_int_equal(boot.system.tree_block, 101);
        assert_memory_equal(boot.system.root, code + 64, 32);
        assert_int_equal(boot.system.salt_size, 4);
        assert_memory_equal(boot.system.salt, "salt", 4);
    }
}

static void the_order_of_descriptors_is_not_measured(void **state)
{
    static const char *const orders[] = { "nsk", "snk", "dksn", "ksnd" };
    Fixture *fixture = *state;

    make(fixture, "kns");
    const VerifiedBoot first = read_well(fixture, &fixture->trusted, false);
    for (size_t i = 0; i < ELEMENTS_OF(orders); i++) {
        make(fixture, orders[i]);
        const VerifiedBoot boot = read_well(fixture, &fixture->trusted, false);
        assert_memory_equal(boot.code, first.code, sizeof(boot.code));
    }
}

static void every_algorithm_is_verified(void **state)
{
    static const char *const names[] = { "SHA256_RSA2048", "SHA512_RSA2048", "SHA256_RSA4096",
                                         "SHA512_RSA4096" };
    Fixture *fixture = *state;

    add_all(fixture, "kns");
    for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
        VbmetaContents contents = contents_of(fixture);
        const AvbPublicKey *trusted = i < 2 ? &fixture->trusted : &fixture->large_trusted;

        contents.algorithm = vbmeta_algorithm_find_name(names[i]);
        contents.key = i < 2 ? fixture->key : fixture->large_key;
        sign(fixture, &contents);
        const VerifiedBoot boot = read_well(fixture, trusted, false);
        assert_sha512(boot.authority, trusted->bytes, trusted->size);
        fixture->partition[VBMETA_HEADER_SIZE + contents.algorithm->hash_size + 9] ^= 1;
        assert_true(read_boot(fixture, PARTITION_SIZE, trusted, false, &(VerifiedBoot){ 0 }, NULL) <
                    0);
    }
}

static void another_key_is_told_from_an_altered_image(void **state)
{
    Fixture *fixture = *state;
    AvbPublicKey shorter;

    make(fixture, "kns");
    const AvbPublicKey own = fixture->trusted;
    fixture->trusted = fixture->large_trusted;
    assert_int_equal(refuse(fixture, PARTITION_SIZE, false, "another key"), -EKEYREJECTED);
    shorter = own;
    shorter.size--;
    fixture->trusted = shorter;
    assert_int_equal(refuse(fixture, PARTITION_SIZE, false, "another key"), -EKEYREJECTED);
    fixture->trusted.size = 0;
    assert_int_equal(refuse(fixture, PARTITION_SIZE, false, "another key"), -EKEYREJECTED);
    for (size_t i = 0; i < own.size; i++) {
        fixture->trusted = own;
        fixture->trusted.bytes[i] ^= 1;
        assert_int_equal(refuse(fixture, PARTITION_SIZE, false, "another key"), -EKEYREJECTED);
    }
}

static void every_byte_counts(void **state)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    Fixture *fixture = *state;
    Vbmeta parsed;

    make(fixture, "kns");
    assert_int_equal(vbmeta_parse(fixture->partition, PARTITION_SIZE, &parsed, NULL), 0);
    const size_t key = (size_t)(parsed.public_key.data - fixture->partition);
    for (size_t i = 0; i < PARTITION_SIZE; i++) {
        for (size_t j = 0; j < ELEMENTS_OF(flips); j++) {
            fixture->partition[i] ^= flips[j];
            int r = refuse(fixture, PARTITION_SIZE, false, "");
            fixture->partition[i] ^= flips[j];
            /* The header says where the key is. */
            if (i >= VBMETA_HEADER_SIZE &&
                (r == -EKEYREJECTED) != (i >= key && i < key + parsed.public_key.size))
                fail_msg("byte %zu ^ %#x: %d", i, flips[j], r);
        }
    }
    (void)read_well(fixture, &fixture->trusted, false);
}

static void a_partition_of_any_size_has_zeros_behind_the_structure(void **state)
{
    Fixture *fixture = *state;
    VerifiedBoot boot;

    make(fixture, "kns");
    for (size_t size = 0; size < fixture->structure_size; size++)
        (void)refuse(fixture, size, false, "");
    assert_int_equal(
        read_boot(fixture, fixture->structure_size, &fixture->trusted, false, &boot, NULL), 0);
    assert_int_equal(read_boot(fixture, VBMETA_SIZE_MAX, &fixture->trusted, false, &boot, NULL), 0);
    (void)refuse(fixture, VBMETA_SIZE_MAX + 1, false, "cannot read vbmeta");
    fixture->partition[VBMETA_SIZE_MAX - 1] = 1;
    (void)refuse(fixture, VBMETA_SIZE_MAX, false, "bytes that its signature is not over");
}

static void unsigned_and_switched_off_is_refused(void **state)
{
    Fixture *fixture = *state;

    add_all(fixture, "kns");
    VbmetaContents contents = contents_of(fixture);
    contents.algorithm = vbmeta_algorithm_find_name("NONE");
    contents.key = NULL;
    sign(fixture, &contents);
    assert_refused(fixture, "vbmeta is not signed");
    for (unsigned bit = 0; bit < 32; bit++) {
        contents = contents_of(fixture);
        contents.flags = UINT32_C(1) << bit;
        sign(fixture, &contents);
        assert_refused(fixture, "vbmeta has flags, 0x");
    }
}

static void each_descriptor_is_there_once(void **state)
{
    static const struct {
        const char *letters, *words;
        bool is_debuggable;
    } cases[] = {
        { "", "no descriptor of 'boot'", false },
        { "ns", "no descriptor of 'boot'", false },
        { "ks", "no descriptor of 'initrd_normal'", false },
        { "kds", "no descriptor of 'initrd_normal'", false },
        { "kns", "no descriptor of 'initrd_debug'", true },
        { "knd", "no descriptor of 'super'", false },
        { "kkns", "two hashes of 'boot'", false },
        { "knns", "two hashes of 'initrd_normal'", false },
        { "knsdd", "two hashes of 'initrd_debug'", true },
        { "knss", "two hash trees of 'super'", false },
    };
    Fixture *fixture = *state;

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        make(fixture, cases[i].letters);
        assert_int_not_equal(
            refuse(fixture, PARTITION_SIZE, cases[i].is_debuggable, cases[i].words), -EKEYREJECTED);
    }
}

static void resign_with(Fixture *fixture, const char *letters, AvbDescriptor descriptor)
{
    add_all(fixture, letters);
    add(fixture, descriptor);
    const VbmetaContents contents = contents_of(fixture);
    sign(fixture, &contents);
}

static void hashes_of_another_kind_are_refused(void **state)
{
    Fixture *fixture = *state;
    AvbDescriptor descriptor = hash_of("boot", 'k');

    strcpy(descriptor.hash.algorithm, "sha512");
    descriptor.hash.digest.size = CRYPTO_SHA512_SIZE;
    resign_with(fixture, "ns", descriptor);
    assert_refused(fixture, "'boot', or one that is no SHA-256");
    descriptor = hash_of("initrd_normal", 'n');
    descriptor.hash.digest.size = 0; /* the device keeps it */
    resign_with(fixture, "ks", descriptor);
    assert_refused(fixture, "'initrd_normal', or one that is no SHA-256");

    /* The right names, as the other kind of descriptor. */
    resign_with(fixture, "kn", hash_of("super", 's'));
    assert_refused(fixture, "no descriptor of 'super'");
    descriptor = system_with('k');
    descriptor.hashtree.name = avb_bytes_from_string("boot");
    resign_with(fixture, "ns", descriptor);
    assert_refused(fixture, "no descriptor of 'boot'");
    resign_with(fixture, "ns", hash_of("boot2", 'k'));
    assert_refused(fixture, "no descriptor of 'boot'");
    resign_with(fixture, "ns", hash_of("boo", 'k'));
    assert_refused(fixture, "no descriptor of 'boot'");
}

static void trees_that_dm_verity_is_not_made_for_are_refused(void **state)
{
    Fixture *fixture = *state;
    static const char refused[] = "two hash trees of 'super', or one that is not SHA-256";
    static const uint8_t salt[AVB_SALT_SIZE_MAX];
    AvbDescriptor descriptor = system_with('s');

    strcpy(descriptor.hashtree.algorithm, "sha512");
    descriptor.hashtree.digest.size = CRYPTO_SHA512_SIZE;
    resign_with(fixture, "kn", descriptor);
    assert_refused(fixture, refused);
    descriptor = system_with('s');
    descriptor.hashtree.data_block_size = descriptor.hashtree.hash_block_size = 2 * BLOCK;
    descriptor.hashtree.tree_offset = 102 * BLOCK;
    descriptor.hashtree.tree_size = 2 * BLOCK;
    resign_with(fixture, "kn", descriptor);
    assert_refused(fixture, refused);
    descriptor = system_with('s');
    descriptor.hashtree.salt = (AvbBytes){ salt, MERKLE_SALT_MAX };
    resign_with(fixture, "kn", descriptor);
    assert_int_equal(read_well(fixture, &fixture->trusted, false).system.salt_size,
                     MERKLE_SALT_MAX);
}

static void another_vbmeta_is_not_looked_into(void **state)
{
    Fixture *fixture = *state;
    const AvbDescriptor chain = {
        .tag = AVB_CHAIN_PARTITION,
        .chain_partition = { .rollback_index_location = 1,
                             .name = avb_bytes_from_string("other"),
                             .public_key = { fixture->trusted.bytes, fixture->trusted.size } },
    };

    resign_with(fixture, "kns", chain);
    assert_refused(fixture, "vbmeta has a chain partition");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_signed_is_measured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_order_of_descriptors_is_not_measured, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_algorithm_is_verified, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_key_is_told_from_an_altered_image, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_byte_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_partition_of_any_size_has_zeros_behind_the_structure,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(unsigned_and_switched_off_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_descriptor_is_there_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hashes_of_another_kind_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trees_that_dm_verity_is_not_made_for_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_vbmeta_is_not_looked_into, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
