/* SPDX-License-Identifier: Apache-2.0 */
/* vbmeta that is made and signed here, as the image builder does it, in a partition that has zeros
 * behind it. */
#include "guest/verified-boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta-header.h"
#include "composite-disk/vbmeta-make.h"
#include "tests/helpers/test.h"

#define PARTITION_SIZE 8192
#define BLOCK          4096

typedef struct Fixture {
    SigningKey *key, *other_key; /* of 2048 and 4096 bits */
    AvbPublicKey public_key, other_public_key;
    uint8_t descriptors[4096];
    size_t descriptors_size;
    uint8_t partition[PARTITION_SIZE];
    size_t vbmeta_size;
} Fixture;

static SigningKey *load_key(const char *name, AvbPublicKey *ret_public_key)
{
    const char *top = getenv("top_srcdir");
    SigningKey *key;
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/tests/keys/%s.pem", top ? top : ".", name);
    assert_int_equal(signing_key_load(path, NULL, &key, NULL), 0);
    assert_int_equal(avb_public_key_from_key(key->key, ret_public_key, NULL), 0);
    return key;
}

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->key = load_key("rsa-2048", &fixture->public_key);
    fixture->other_key = load_key("rsa-4096", &fixture->other_public_key);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    signing_key_free(fixture->key);
    signing_key_free(fixture->other_key);
    free(fixture);
    return 0;
}

/* --- making --- */

static const uint8_t kernel_digest[32] = { 'k' }, normal_digest[32] = { 'n' };
static const uint8_t debug_digest[32] = { 'd' }, system_digest[32] = { 's' };
static const uint8_t salt[MERKLE_SALT_MAX] = { 5, 4, 3 };

static AvbHash make_hash(const char *name, const uint8_t *digest)
{
    return (AvbHash){ .image_size = 1000,
                      .algorithm = "sha256",
                      .name = avb_bytes_from_string(name),
                      .salt = { salt, 3 },
                      .digest = { digest, 32 } };
}

static AvbHashtree make_tree(void)
{
    return (AvbHashtree){ .dm_verity_version = 1,
                          .image_size = 10 * BLOCK,
                          .tree_offset = 10 * BLOCK,
                          .tree_size = BLOCK,
                          .data_block_size = BLOCK,
                          .hash_block_size = BLOCK,
                          .algorithm = "sha256",
                          .name = avb_bytes_from_string("super"),
                          .salt = { salt, 3 },
                          .digest = { system_digest, 32 } };
}

static void add(Fixture *fixture, const AvbDescriptor *descriptor)
{
    ByteWriter writer = byte_writer(fixture->descriptors + fixture->descriptors_size,
                                    sizeof(fixture->descriptors) - fixture->descriptors_size);

    assert_int_equal(avb_descriptor_encode(descriptor, &writer, NULL), 0);
    assert_int_equal(byte_writer_finish(&writer), 0);
    fixture->descriptors_size += writer.size;
}

static void add_hash(Fixture *fixture, AvbHash hash)
{
    add(fixture, &(AvbDescriptor){ .tag = AVB_HASH, .hash = hash });
}

static void add_tree(Fixture *fixture, AvbHashtree tree)
{
    add(fixture, &(AvbDescriptor){ .tag = AVB_HASHTREE, .hashtree = tree });
}

/* What one has, by bits. */
enum {
    KERNEL = 1 << 0,
    NORMAL = 1 << 1,
    DEBUG = 1 << 2,
    SYSTEM = 1 << 3,
    ALL = KERNEL | NORMAL | DEBUG | SYSTEM,
};

static void add_parts(Fixture *fixture, unsigned parts)
{
    if (parts & KERNEL)
        add_hash(fixture, make_hash("boot", kernel_digest));
    if (parts & NORMAL)
        add_hash(fixture, make_hash("initrd_normal", normal_digest));
    if (parts & DEBUG)
        add_hash(fixture, make_hash("initrd_debug", debug_digest));
    if (parts & SYSTEM)
        add_tree(fixture, make_tree());
}

static void sign(Fixture *fixture, VbmetaContents contents)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ uint8_t *vbmeta = NULL;

    contents.descriptors = (AvbBytes){ fixture->descriptors, fixture->descriptors_size };
    contents.release = "test";
    if (vbmeta_make(&contents, &vbmeta, &fixture->vbmeta_size, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    assert_true(fixture->vbmeta_size < PARTITION_SIZE);
    memset(fixture->partition, 0, PARTITION_SIZE);
    memcpy(fixture->partition, vbmeta, fixture->vbmeta_size);
}

static VbmetaContents usual_contents(const Fixture *fixture)
{
    return (VbmetaContents){ .algorithm = vbmeta_algorithm_find_name("SHA256_RSA2048"),
                             .key = fixture->key,
                             .rollback_index = 7 };
}

static void make(Fixture *fixture, unsigned parts)
{
    fixture->descriptors_size = 0;
    add_parts(fixture, parts);
    sign(fixture, usual_contents(fixture));
}

/* --- reading --- */

static int read_with(const Fixture *fixture,
                     const AvbPublicKey *trusted,
                     size_t size,
                     bool is_debuggable,
                     VerifiedBoot *ret_boot,
                     Error *error)
{
    const ByteSource source = byte_source_from_memory(fixture->partition, size);

    return verified_boot_read(&source, (CryptoBytes){ trusted->bytes, trusted->size },
                              is_debuggable, ret_boot, error);
}

static VerifiedBoot read_boot(const Fixture *fixture, bool is_debuggable)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot;

    if (read_with(fixture, &fixture->public_key, PARTITION_SIZE, is_debuggable, &boot, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return boot;
}

/* Refused is everything as an invalid image; another key has an errno of its own. */
static void assert_refused_by(const Fixture *fixture,
                              const AvbPublicKey *trusted,
                              int expected,
                              const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot, before;

    memset(&boot, 0xaa, sizeof(boot));
    before = boot;
    assert_int_equal(read_with(fixture, trusted, PARTITION_SIZE, false, &boot, &error), expected);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(&error), words);
    assert_memory_equal(&boot, &before, sizeof(boot));
}

static void assert_refused(const Fixture *fixture, const char *words)
{
    assert_refused_by(fixture, &fixture->public_key, -EBADMSG, words);
}

/* --- cases --- */

static void hash_parts(const uint8_t *initrd_digest, uint8_t ret_code[static DICE_HASH_SIZE])
{
    const CryptoBytes parts[] = { { kernel_digest, 32 },
                                  { initrd_digest, 32 },
                                  { system_digest, 32 } };

    assert_int_equal(crypto_hash(CRYPTO_SHA512, parts, ELEMENTS_OF(parts), ret_code), 0);
}

static void what_was_signed_is_what_the_boot_goes_by(void **state)
{
    Fixture *fixture = *state;
    uint8_t expected[DICE_HASH_SIZE];

    make(fixture, ALL);
    const VerifiedBoot normal = read_boot(fixture, false), debug = read_boot(fixture, true);
    assert_int_equal(normal.rollback_index, 7);
    assert_int_equal(normal.system.n_data_blocks, 10);
    assert_int_equal(normal.system.tree_block, 10);
    assert_memory_equal(normal.system.root, system_digest, sizeof(normal.system.root));
    assert_int_equal(normal.system.salt_size, 3);
    assert_memory_equal(normal.system.salt, salt, 3);

    hash_parts(normal_digest, expected);
    assert_memory_equal(normal.code, expected, sizeof(expected));
    hash_parts(debug_digest, expected);
    assert_memory_equal(debug.code, expected, sizeof(expected));
    const CryptoBytes key = { fixture->public_key.bytes, fixture->public_key.size };
    assert_int_equal(crypto_hash(CRYPTO_SHA512, &key, 1, expected), 0);
    assert_memory_equal(normal.authority, expected, sizeof(expected));
    assert_memory_equal(debug.authority, expected, sizeof(expected));
}

static void each_algorithm_is_verified(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *algorithm, *key;
    } cases[] = {
        { "SHA256_RSA2048", "rsa-2048" }, { "SHA512_RSA2048", "rsa-2048" },
        { "SHA256_RSA4096", "rsa-4096" }, { "SHA512_RSA4096", "rsa-4096" },
        { "SHA256_RSA8192", "rsa-8192" }, { "SHA512_RSA8192", "rsa-8192" },
    };

    add_parts(fixture, ALL);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        AvbPublicKey public_key;
        VerifiedBoot boot;
        _cleanup_(signing_key_freep) SigningKey *key = load_key(cases[i].key, &public_key);

        sign(fixture, (VbmetaContents){ .algorithm = vbmeta_algorithm_find_name(cases[i].algorithm),
                                        .key = key });
        assert_int_equal(read_with(fixture, &public_key, PARTITION_SIZE, false, &boot, NULL), 0);
        const VbmetaHeader header = vbmeta_header_decode(fixture->partition);
        fixture->partition[VBMETA_HEADER_SIZE + header.signature.offset] ^= 1;
        assert_refused_by(fixture, &public_key, -EBADMSG, "signature of vbmeta is not the key's");
    }
}

/* Where a byte is in the structure. */
static bool is_inside(size_t at, uint64_t start, uint64_t size)
{
    return at >= start && at - start < size;
}

/* Another key is one in the place that the header has for it, or another place: it says where in
 * the auxiliary block, and how large the block before that is. */
static bool is_of_the_key(const Fixture *fixture, size_t at)
{
    const VbmetaHeader header = vbmeta_header_decode(fixture->partition);
    uint64_t auxiliary = VBMETA_HEADER_SIZE + header.authentication_size;
    const size_t authentication_size = 12, key_region = 64; /* avb_vbmeta_image.h */

    return is_inside(at, auxiliary + header.public_key.offset, header.public_key.size) ||
           is_inside(at, authentication_size, 8) || is_inside(at, key_region, 16);
}

static void no_bit_can_change(void **state)
{
    Fixture *fixture = *state;
    size_t n_other_keys = 0;

    make(fixture, ALL);
    /* Behind the structure a few bytes, and the last, are as good as all. */
    for (size_t at = 0; at < PARTITION_SIZE; at++) {
        if (at == fixture->vbmeta_size + 64)
            at = PARTITION_SIZE - 1;
        for (unsigned bit = 0; bit < 8; bit++) {
            _cleanup_(error_clear) Error error = ERROR_INIT;
            VerifiedBoot boot;
            bool of_the_key = is_of_the_key(fixture, at);

            fixture->partition[at] ^= (uint8_t)(1U << bit);
            int r = read_with(fixture, &fixture->public_key, PARTITION_SIZE, false, &boot, &error);
            fixture->partition[at] ^= (uint8_t)(1U << bit);
            assert_true(r == -EBADMSG || (r == -EKEYREJECTED && of_the_key));
            assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
            n_other_keys += r == -EKEYREJECTED;
        }
    }
    assert_true(n_other_keys >= fixture->public_key.size * 8);
    (void)read_boot(fixture, false);
}

static void a_structure_that_is_cut_off_is_refused(void **state)
{
    Fixture *fixture = *state;

    make(fixture, ALL);
    for (size_t size = 0; size < fixture->vbmeta_size; size += size < 300 ? 1 : 61) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        VerifiedBoot boot;

        assert_int_equal(read_with(fixture, &fixture->public_key, size, false, &boot, &error),
                         -EBADMSG);
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    }
    VerifiedBoot boot; /* and needs no zeros behind it */
    assert_int_equal(
        read_with(fixture, &fixture->public_key, fixture->vbmeta_size, false, &boot, NULL), 0);
}

static void a_partition_has_64_kib_at_most(void **state)
{
    Fixture *fixture = *state;
    _cleanup_free_ uint8_t *partition = calloc(1, VBMETA_SIZE_MAX + 1);
    const CryptoBytes trusted = { fixture->public_key.bytes, fixture->public_key.size };
    VerifiedBoot boot;

    assert_non_null(partition);
    make(fixture, ALL);
    memcpy(partition, fixture->partition, PARTITION_SIZE);
    ByteSource source = byte_source_from_memory(partition, VBMETA_SIZE_MAX);
    assert_int_equal(verified_boot_read(&source, trusted, false, &boot, NULL), 0);
    source.size++;
    assert_int_equal(verified_boot_read(&source, trusted, false, &boot, NULL), -EFBIG);
}

static void another_key_is_told_from_everything_else(void **state)
{
    Fixture *fixture = *state;
    AvbPublicKey shorter = fixture->public_key;
    static const char words[] = "signed with another key than the initramfs trusts";

    make(fixture, ALL);
    assert_refused_by(fixture, &fixture->other_public_key, -EKEYREJECTED, words);
    shorter.size--;
    assert_refused_by(fixture, &shorter, -EKEYREJECTED, words);
    shorter.size = 0;
    assert_refused_by(fixture, &shorter, -EKEYREJECTED, words);
    sign(fixture, (VbmetaContents){ .algorithm = vbmeta_algorithm_find_name("SHA256_RSA4096"),
                                    .key = fixture->other_key });
    assert_refused_by(fixture, &fixture->public_key, -EKEYREJECTED, words);

    sign(fixture, (VbmetaContents){ .algorithm = vbmeta_algorithm_find_name("NONE") });
    assert_refused(fixture, "vbmeta is not signed");
}

/* Someone's key with the trusted one's name on it. */
static void a_signature_of_another_key_is_refused(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(signing_key_freep) SigningKey *key = calloc(1, sizeof(*key));
    AvbPublicKey public_key;

    assert_non_null(key);
    key->key = EVP_RSA_gen(2048U);
    assert_non_null(key->key);
    assert_int_equal(avb_public_key_from_key(key->key, &public_key, NULL), 0);
    add_parts(fixture, ALL);
    VbmetaContents contents = usual_contents(fixture);
    contents.key = key;
    sign(fixture, contents);

    const VbmetaHeader header = vbmeta_header_decode(fixture->partition);
    uint8_t *place = fixture->partition + VBMETA_HEADER_SIZE + header.authentication_size +
                     header.public_key.offset;
    assert_memory_equal(place, public_key.bytes, public_key.size);
    memcpy(place, fixture->public_key.bytes, public_key.size);
    assert_refused(fixture, "its hash is another");

    size_t size; /* and with a hash that is right */
    _cleanup_free_ uint8_t *bytes = vbmeta_dup_signed_bytes(
        fixture->partition, fixture->vbmeta_size, (size_t)header.authentication_size, &size);
    assert_non_null(bytes);
    assert_int_equal(vbmeta_hash(contents.algorithm, bytes, size,
                                 fixture->partition + VBMETA_HEADER_SIZE + header.hash.offset),
                     0);
    assert_refused(fixture, "signature of vbmeta is not the key's");
}

static void flags_are_refused(void **state)
{
    Fixture *fixture = *state;
    static const uint32_t flags[] = { VBMETA_FLAG_HASHTREE_DISABLED,
                                      VBMETA_FLAG_VERIFICATION_DISABLED, 4, UINT32_C(1) << 31 };

    add_parts(fixture, ALL);
    for (size_t i = 0; i < ELEMENTS_OF(flags); i++) {
        VbmetaContents contents = usual_contents(fixture);

        contents.flags = flags[i];
        sign(fixture, contents);
        assert_refused(fixture, "vbmeta has flags");
    }
}

static void all_rollback_indices_are_read(void **state)
{
    Fixture *fixture = *state;
    static const uint64_t indices[] = { 0, 1, UINT64_C(1) << 32, UINT64_MAX };

    add_parts(fixture, ALL);
    for (size_t i = 0; i < ELEMENTS_OF(indices); i++) {
        VbmetaContents contents = usual_contents(fixture);

        contents.rollback_index = indices[i];
        sign(fixture, contents);
        assert_int_equal(read_boot(fixture, false).rollback_index, indices[i]);
    }
}

static void a_missing_part_is_named(void **state)
{
    Fixture *fixture = *state;

    make(fixture, ALL & ~(unsigned)KERNEL);
    assert_refused(fixture, "no descriptor of 'boot'");
    make(fixture, ALL & ~(unsigned)NORMAL);
    assert_refused(fixture, "no descriptor of 'initrd_normal'");
    (void)read_boot(fixture, true);
    make(fixture, ALL & ~(unsigned)SYSTEM);
    assert_refused(fixture, "no descriptor of 'super'");
    make(fixture, ALL & ~(unsigned)DEBUG);
    (void)read_boot(fixture, false);
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VerifiedBoot boot;
    assert_int_equal(read_with(fixture, &fixture->public_key, PARTITION_SIZE, true, &boot, &error),
                     -EBADMSG);
    assert_non_null(strstr(error_get_message(&error), "no descriptor of 'initrd_debug'"));
    make(fixture, 0);
    assert_refused(fixture, "no descriptor of 'boot'");
}

static void a_part_that_is_there_twice_is_refused(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        unsigned part;
        const char *words;
    } cases[] = {
        { KERNEL, "two hashes of 'boot'" },
        { NORMAL, "two hashes of 'initrd_normal'" },
        { SYSTEM, "two hash trees of 'super'" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        fixture->descriptors_size = 0;
        add_parts(fixture, ALL);
        add_parts(fixture, cases[i].part);
        sign(fixture, usual_contents(fixture));
        assert_refused(fixture, cases[i].words);
    }
}

static void a_part_of_another_kind_is_none(void **state)
{
    Fixture *fixture = *state;
    AvbHashtree tree = make_tree();

    add_parts(fixture, ALL & ~(unsigned)KERNEL);
    tree.name = avb_bytes_from_string("boot");
    add_tree(fixture, tree);
    add_hash(fixture, make_hash("boot2", kernel_digest));
    add_hash(fixture, make_hash("boo", kernel_digest));
    add_hash(fixture, make_hash("Boot", kernel_digest));
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "no descriptor of 'boot'");

    fixture->descriptors_size = 0;
    add_parts(fixture, ALL & ~(unsigned)SYSTEM);
    add_hash(fixture, make_hash("super", system_digest));
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "no descriptor of 'super'");
}

static void a_chain_partition_is_refused(void **state)
{
    Fixture *fixture = *state;

    add_parts(fixture, ALL);
    add(fixture,
        &(AvbDescriptor){ .tag = AVB_CHAIN_PARTITION,
                          .chain_partition = { .rollback_index_location = 1,
                                               .name = avb_bytes_from_string("vendor"),
                                               .public_key = { fixture->public_key.bytes,
                                                               fixture->public_key.size } } });
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "chain partition");
}

static void what_else_is_described_is_not_looked_at(void **state)
{
    Fixture *fixture = *state;

    add(fixture,
        &(AvbDescriptor){ .tag = AVB_PROPERTY,
                          .property = { avb_bytes_from_string("a"), avb_bytes_from_string("b") } });
    add_hash(fixture, make_hash("vendor_boot", kernel_digest));
    add_parts(fixture, ALL);
    sign(fixture, usual_contents(fixture));
    const VerifiedBoot boot = read_boot(fixture, false);
    make(fixture, ALL);
    const VerifiedBoot usual = read_boot(fixture, false);
    assert_memory_equal(boot.code, usual.code, sizeof(usual.code));
}

static void only_sha_256_is_taken(void **state)
{
    Fixture *fixture = *state;
    static const uint8_t digest[64] = { 1 };
    AvbHash hash = make_hash("boot", digest);
    AvbHashtree tree = make_tree();

    add_parts(fixture, ALL & ~(unsigned)KERNEL);
    (void)strcpy(hash.algorithm, "sha512");
    hash.digest.size = 64;
    add_hash(fixture, hash);
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "no SHA-256");

    fixture->descriptors_size = 0;
    add_parts(fixture, ALL & ~(unsigned)KERNEL);
    hash = make_hash("boot", digest);
    hash.digest.size = 0; /* which a device has elsewhere */
    add_hash(fixture, hash);
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "no SHA-256");

    fixture->descriptors_size = 0;
    add_parts(fixture, ALL & ~(unsigned)SYSTEM);
    (void)strcpy(tree.algorithm, "sha512");
    tree.digest = (AvbBytes){ digest, 64 };
    add_tree(fixture, tree);
    sign(fixture, usual_contents(fixture));
    assert_refused(fixture, "not SHA-256 over blocks of 4096 bytes");
}

/* A descriptor may have others, and images that are no whole number of these. */
static void a_tree_is_of_blocks_of_4096_bytes(void **state)
{
    Fixture *fixture = *state;
    static const uint32_t sizes[][2] = { { 512, BLOCK }, { BLOCK, 512 }, { 2 * BLOCK, 2 * BLOCK } };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        AvbHashtree tree = make_tree();

        tree.data_block_size = sizes[i][0];
        tree.hash_block_size = sizes[i][1];
        tree.tree_size = 2 * BLOCK;
        fixture->descriptors_size = 0;
        add_parts(fixture, ALL & ~(unsigned)SYSTEM);
        add_tree(fixture, tree);
        sign(fixture, usual_contents(fixture));
        assert_refused(fixture, "not SHA-256 over blocks of 4096 bytes");
    }
}

static void a_salt_has_any_size_up_to_the_largest(void **state)
{
    Fixture *fixture = *state;
    static const size_t sizes[] = { 0, 1, MERKLE_SALT_MAX };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        AvbHashtree tree = make_tree();

        tree.salt.size = sizes[i];
        fixture->descriptors_size = 0;
        add_parts(fixture, ALL & ~(unsigned)SYSTEM);
        add_tree(fixture, tree);
        sign(fixture, usual_contents(fixture));
        const VerifiedBoot boot = read_boot(fixture, false);
        assert_int_equal(boot.system.salt_size, sizes[i]);
        assert_memory_equal(boot.system.salt, salt, sizes[i]);
    }
}

int main(void)
{
#define WITH_KEYS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        WITH_KEYS(what_was_signed_is_what_the_boot_goes_by),
        WITH_KEYS(each_algorithm_is_verified),
        WITH_KEYS(no_bit_can_change),
        WITH_KEYS(a_structure_that_is_cut_off_is_refused),
        WITH_KEYS(a_partition_has_64_kib_at_most),
        WITH_KEYS(another_key_is_told_from_everything_else),
        WITH_KEYS(a_signature_of_another_key_is_refused),
        WITH_KEYS(flags_are_refused),
        WITH_KEYS(all_rollback_indices_are_read),
        WITH_KEYS(a_missing_part_is_named),
        WITH_KEYS(a_part_that_is_there_twice_is_refused),
        WITH_KEYS(a_part_of_another_kind_is_none),
        WITH_KEYS(a_chain_partition_is_refused),
        WITH_KEYS(what_else_is_described_is_not_looked_at),
        WITH_KEYS(only_sha_256_is_taken),
        WITH_KEYS(a_tree_is_of_blocks_of_4096_bytes),
        WITH_KEYS(a_salt_has_any_size_up_to_the_largest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
