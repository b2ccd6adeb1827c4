/* SPDX-License-Identifier: Apache-2.0 */
/* APEXes made here; what can be wrong with a vbmeta structure by itself is test-vbmeta's, with a
 * zip test-zip-reader's, with a manifest test-apex-manifest's. */
#include "guest/apex-identity.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/apex-manifest.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-image.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta-make.h"
#include "composite-disk/zip-sections.h"
#include "composite-disk/zip-writer.h"
#include "tests/helpers/test.h"

#define BLOCK       4096
#define DATA_BLOCKS 5
#define VBMETA_AT   ((DATA_BLOCKS + 1) * BLOCK)
#define IMAGE_SIZE  ((DATA_BLOCKS + 3) * BLOCK)
#define STEP        5 /* no field has a multiple of it */

static const uint8_t manifest[] = "\n\x0borg.example\x10\x07"; /* and version 7 */
static const uint8_t salt[] = { 3, 1, 4, 1, 5 };
static const uint8_t digest[] = "the root of the tree, 32 bytes..";

typedef struct Fixture {
    SigningKey *key, *other_key;
    AvbPublicKey public_key, other_public_key;
} Fixture;

/* What an APEX is made of, with what may be wrong with it. */
typedef struct Plan {
    const SigningKey *key; /* NULL: not signed */
    const AvbPublicKey *public_key;
    AvbDescriptor descriptors[3];
    size_t n_descriptors;
    uint32_t flags;
    uint64_t vbmeta_at;
    bool has_no_footer;
    size_t image_size;
    ZipMethod method;
    uint32_t alignment;
    const char *image_name;
    const char *key_name;
    const char *manifest_name;
} Plan;

typedef struct Apex {
    uint8_t *partition; /* with a tail of zeros */
    size_t size, partition_size;
} Apex;

static SigningKey *load_key(unsigned bits)
{
    const char *top = getenv("top_srcdir");
    SigningKey *key;
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/tests/keys/rsa-%u.pem", top ? top : ".", bits);
    assert_int_equal(signing_key_load(path, NULL, &key, NULL), 0);
    return key;
}

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->key = load_key(2048);
    fixture->other_key = load_key(4096);
    assert_int_equal(avb_public_key_from_key(fixture->key->key, &fixture->public_key, NULL), 0);
    assert_int_equal(
        avb_public_key_from_key(fixture->other_key->key, &fixture->other_public_key, NULL), 0);
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

static Plan plan(const Fixture *fixture)
{
    return (Plan){
        .key = fixture->key,
        .public_key = &fixture->public_key,
        .descriptors = { { .tag = AVB_HASHTREE,
                           .hashtree = { .dm_verity_version = 1,
                                         .image_size = DATA_BLOCKS * BLOCK,
                                         .tree_offset = DATA_BLOCKS * BLOCK,
                                         .tree_size = BLOCK,
                                         .data_block_size = BLOCK,
                                         .hash_block_size = BLOCK,
                                         .algorithm = "sha256",
                                         .salt = { salt, sizeof(salt) },
                                         .digest = { digest, APEX_HASH_SIZE } } } },
        .n_descriptors = 1,
        .vbmeta_at = VBMETA_AT,
        .image_size = IMAGE_SIZE,
        .method = ZIP_STORED,
        .alignment = BLOCK,
        .image_name = "apex_payload.img",
        .key_name = "apex_pubkey",
        .manifest_name = "apex_manifest.pb",
    };
}

static void make_image(const Plan *plan, uint8_t image[static IMAGE_SIZE])
{
    uint8_t descriptors[2048];
    ByteWriter writer = byte_writer(descriptors, sizeof(descriptors));
    _cleanup_free_ uint8_t *vbmeta = NULL;
    size_t size;

    for (size_t i = 0; i < plan->n_descriptors; i++)
        assert_int_equal(avb_descriptor_encode(&plan->descriptors[i], &writer, NULL), 0);
    assert_int_equal(byte_writer_finish(&writer), 0);
    const VbmetaContents contents = {
        .algorithm = !plan->key ? vbmeta_algorithm_find(0)
                                : vbmeta_algorithm_find_bits(EVP_PKEY_get_bits(plan->key->key)),
        .key = plan->key,
        .descriptors = { descriptors, writer.size },
        .flags = plan->flags,
        .release = "test",
    };
    assert_int_equal(vbmeta_make(&contents, &vbmeta, &size, NULL), 0);
    assert_true(plan->vbmeta_at + size <= IMAGE_SIZE - AVB_FOOTER_SIZE);
    memset(image, 0xee, IMAGE_SIZE);
    memcpy(image + plan->vbmeta_at, vbmeta, size);
    const AvbFooter footer = { .image_size = BLOCK,
                               .vbmeta_offset = plan->vbmeta_at,
                               .vbmeta_size = size };
    if (!plan->has_no_footer)
        avb_footer_encode(&footer, image + IMAGE_SIZE - AVB_FOOTER_SIZE);
}

static void add_entry(
    ZipWriter *writer, const char *name, const Plan *plan, const void *data, size_t size)
{
    const ByteSource source = byte_source_from_memory(data, size);
    const bool is_image = strcmp(name, plan->image_name) == 0;
    const ZipNewEntry entry = { .name = name,
                                .mode = 0644,
                                .method = is_image ? plan->method : ZIP_DEFLATED,
                                .alignment = is_image ? plan->alignment : 1 };

    assert_int_equal(zip_writer_add(writer, &entry, &source, NULL), 0);
}

static Apex pack(const Plan *plan, const uint8_t *image)
{
    _cleanup_close_ int fd = memfd_create("apex", MFD_CLOEXEC);
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;
    Apex apex;

    assert_true(fd >= 0);
    assert_int_equal(zip_writer_new(fd, 0, NULL, &writer, NULL), 0);
    add_entry(writer, plan->manifest_name, plan, manifest, sizeof(manifest) - 1);
    add_entry(writer, plan->image_name, plan, image, plan->image_size);
    add_entry(writer, plan->key_name, plan, plan->public_key->bytes, plan->public_key->size);
    assert_int_equal(zip_writer_finish(writer, NULL), 0);
    apex.size = (size_t)lseek(fd, 0, SEEK_END);
    apex.partition_size = (apex.size + BLOCK - 1) / BLOCK * BLOCK;
    apex.partition = calloc(1, apex.partition_size);
    assert_non_null(apex.partition);
    assert_int_equal(pread(fd, apex.partition, apex.size, 0), apex.size);
    return apex;
}

static Apex make(const Plan *plan)
{
    uint8_t *image = malloc(IMAGE_SIZE);

    assert_non_null(image);
    make_image(plan, image);
    Apex apex = pack(plan, image);
    free(image);
    return apex;
}

static void apex_deinit(Apex *apex)
{
    free(apex->partition);
}

static int verify(const Apex *apex, ApexIdentity *ret_identity, Error *error)
{
    const ByteSource partition = byte_source_from_memory(apex->partition, apex->partition_size);

    return apex_identity_verify(&partition, ret_identity, error);
}

static void is_refused(const Apex *apex, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApexIdentity identity = { .version = 77 };

    assert_true(verify(apex, &identity, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(identity.version, 77);
}

static void refuses(const Plan *plan, const char *words)
{
    _cleanup_(apex_deinit) Apex apex = make(plan);

    is_refused(&apex, words);
}

static void identity_is_what_was_put_in(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);
    _cleanup_(apex_deinit) Apex apex = make(&planned);
    uint8_t key_hash[SHA512_DIGEST_LENGTH], manifest_hash[SHA256_DIGEST_LENGTH];
    ApexIdentity identity;

    SHA512(fixture->public_key.bytes, fixture->public_key.size, key_hash);
    SHA256(manifest, sizeof(manifest) - 1, manifest_hash);
    assert_int_equal(verify(&apex, &identity, NULL), 0);
    assert_memory_equal(identity.public_key_hash, key_hash, sizeof(key_hash));
    assert_memory_equal(identity.manifest_hash, manifest_hash, sizeof(manifest_hash));
    assert_string_equal(identity.name, "org.example");
    assert_int_equal(identity.version, 7);
    assert_int_equal(identity.image_size, IMAGE_SIZE);
    assert_int_equal(identity.image_offset % BLOCK, 0);
    assert_memory_equal(apex.partition + identity.image_offset + VBMETA_AT, "AVB0", 4);
    assert_int_equal(identity.n_data_blocks, DATA_BLOCKS);
    assert_int_equal(identity.tree_block, DATA_BLOCKS);
    assert_memory_equal(identity.root, digest, APEX_HASH_SIZE);
    assert_int_equal(identity.salt_size, sizeof(salt));
    assert_memory_equal(identity.salt, salt, sizeof(salt));
}

/* As composite-disk and avbtool lay an image out, and with a single block of data, which has no
 * tree; the answer is one that a verdict can carry. */
static void images_with_appended_trees_are_taken(void **state)
{
    static const size_t sizes[] = { 1, BLOCK, BLOCK + 1, 130 * BLOCK };
    const Fixture *fixture = *state;
    const VbmetaContents contents = { .algorithm = vbmeta_algorithm_find_bits(2048),
                                      .key = fixture->key,
                                      .release = "test" };
    const AvbImageOptions options = { .name = "", .contents = &contents };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        _cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
        Plan planned = plan(fixture);
        uint8_t bytes[VERDICT_SIZE_MAX];
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));
        Verdict verdict = { .kind = VERDICT_APEX }, decoded;
        AvbImage image;

        assert_true(fd >= 0 && ftruncate(fd, (off_t)sizes[i]) == 0);
        assert_int_equal(avb_image_add_hashtree(fd, "image", &options, &image, NULL), 0);
        planned.image_size = image.partition_size;
        uint8_t *data = malloc(planned.image_size);
        assert_non_null(data);
        assert_int_equal(pread(fd, data, planned.image_size, 0), planned.image_size);
        _cleanup_(apex_deinit) Apex apex = pack(&planned, data);
        free(data);
        assert_int_equal(verify(&apex, &verdict.apex, NULL), 0);
        assert_int_equal(verdict.apex.n_data_blocks, image.tree.image_size / BLOCK);
        assert_int_equal(verdict.apex.tree_block, image.tree.tree_offset / BLOCK);
        assert_memory_equal(verdict.apex.root, image.root, APEX_HASH_SIZE);
        assert_int_equal(verdict.apex.salt_size, 0);
        verdict_encode(&verdict, &writer);
        ByteReader reader = byte_reader(bytes, writer.size);
        assert_int_equal(verdict_decode(&reader, &decoded), 0);
    }
}

static void signature_is_of_the_key_beside_the_image(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);

    planned.public_key = &fixture->other_public_key;
    refuses(&planned, "signed with another key");
    planned.key = fixture->other_key;
    _cleanup_(apex_deinit) Apex apex = make(&planned);
    ApexIdentity identity;
    assert_int_equal(verify(&apex, &identity, NULL), 0);
    planned.key = NULL;
    refuses(&planned, "is not signed");
}

/* Every so often a byte, but of data and tree, which dm-verity looks at: an APEX with it changed is
 * refused, or it is the same for all that is asked, as where nothing is signed and where a zip has
 * times. */
static void bytes_that_are_altered_are_found(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);
    _cleanup_(apex_deinit) Apex apex = make(&planned);
    ApexIdentity original, identity;
    size_t n_refused = 0;

    assert_int_equal(verify(&apex, &original, NULL), 0);
    const size_t vbmeta = original.image_offset + VBMETA_AT;
    const size_t image_end = original.image_offset + IMAGE_SIZE;
    for (size_t i = 0; i < apex.size; i += STEP) {
        /* Nobody reads between data and vbmeta, nor from the end of vbmeta to the footer. */
        if (i >= original.image_offset && i < image_end - AVB_FOOTER_SIZE &&
            (i < vbmeta || i >= vbmeta + BLOCK / 2))
            continue;
        apex.partition[i] ^= 1;
        memset(&identity, 0, sizeof(identity));
        if (verify(&apex, &identity, NULL) < 0)
            n_refused++;
        else
            assert_memory_equal(&identity, &original, sizeof(identity));
        apex.partition[i] ^= 1;
    }
    /* Header, descriptor, key and signature at least, and the key and the manifest beside. */
    assert_true(STEP * n_refused >
                256 + 200 + 2 * fixture->public_key.size + 256 + sizeof(manifest));
}

static void signed_bytes_are_all_looked_at(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);
    _cleanup_(apex_deinit) Apex apex = make(&planned);
    ApexIdentity identity;

    assert_int_equal(verify(&apex, &identity, NULL), 0);
    uint8_t *header = apex.partition + identity.image_offset + VBMETA_AT;
    for (size_t i = 0; i < VBMETA_HEADER_SIZE; i++) {
        header[i] ^= 1;
        is_refused(&apex, "");
        header[i] ^= 1;
    }
}

static void image_has_one_hash_tree(void **state)
{
    const Fixture *fixture = *state;
    const AvbDescriptor property = { .tag = AVB_PROPERTY,
                                     .property = { avb_bytes_from_string("apex.key"),
                                                   avb_bytes_from_string("org.example") } };
    const AvbDescriptor chain = { .tag = AVB_CHAIN_PARTITION,
                                  .chain_partition = { .rollback_index_location = 1,
                                                       .name = avb_bytes_from_string("other") } };
    Plan planned = plan(fixture);
    ApexIdentity identity;

    planned.descriptors[planned.n_descriptors++] = property; /* as apexer has it */
    _cleanup_(apex_deinit) Apex apex = make(&planned);
    assert_int_equal(verify(&apex, &identity, NULL), 0);
    planned.descriptors[planned.n_descriptors++] = chain;
    refuses(&planned, "a chain partition");
    planned.descriptors[2] = planned.descriptors[0];
    refuses(&planned, "2 hash trees");
    planned.descriptors[0] = property;
    planned.n_descriptors = 2;
    refuses(&planned, "0 hash trees");
    planned.n_descriptors = 0;
    refuses(&planned, "0 hash trees");
}

static void tree_is_one_that_the_guest_can_use(void **state)
{
    static uint8_t long_digest[64];
    const Fixture *fixture = *state;
    const Plan good = plan(fixture);
    Plan planned = good;
    AvbHashtree *tree = &planned.descriptors[0].hashtree;

    memcpy(tree->algorithm, "sha512", sizeof("sha512"));
    tree->digest = (AvbBytes){ long_digest, sizeof(long_digest) };
    refuses(&planned, "not SHA-256 over blocks of 4096");
    memcpy(tree->algorithm, "unknown", sizeof("unknown"));
    tree->digest.size = APEX_HASH_SIZE;
    refuses(&planned, "not SHA-256 over blocks of 4096");
    planned = good;
    tree->data_block_size = BLOCK / 2;
    refuses(&planned, "not SHA-256 over blocks of 4096");
    planned = good;
    tree->hash_block_size = BLOCK / 2;
    refuses(&planned, "not SHA-256 over blocks of 4096");
    planned = good;
    tree->tree_size = 2 * BLOCK;
    refuses(&planned, "a hash tree of 8192 bytes");
    planned = good;
    tree->tree_size = 0;
    refuses(&planned, "a hash tree of 0 bytes");
    planned = good;
    tree->tree_offset += BLOCK;
    refuses(&planned, "a hash tree of 4096 bytes at offset 24576 before vbmeta at 24576");
    tree->tree_offset = INT64_MAX / BLOCK * BLOCK - BLOCK;
    refuses(&planned, "before vbmeta");
    planned = good;
    tree->image_size = 200 * BLOCK; /* more than there is */
    tree->tree_offset = 200 * BLOCK;
    tree->tree_size = 3 * BLOCK;
    refuses(&planned, "before vbmeta");
}

static void image_lies_on_blocks_as_it_is(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);

    planned.method = ZIP_DEFLATED;
    refuses(&planned, "is compressed, or not made of blocks");
    planned.method = ZIP_STORED;
    planned.alignment = 4;
    refuses(&planned, "is compressed, or not made of blocks");
    planned.alignment = BLOCK;
    planned.image_size = IMAGE_SIZE - 512;
    refuses(&planned, "is compressed, or not made of blocks");
    planned.image_size = 0;
    refuses(&planned, "has no AVB footer");
    planned.image_size = IMAGE_SIZE;
    planned.has_no_footer = true;
    refuses(&planned, "has no AVB footer");
    planned.vbmeta_at = 0; /* where vbmeta is in a partition of its own */
    refuses(&planned, "has no AVB footer");
}

static void flags_are_refused(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);

    planned.flags = VBMETA_FLAG_HASHTREE_DISABLED;
    refuses(&planned, "vbmeta has flags, 0x1");
    planned.flags = VBMETA_FLAG_VERIFICATION_DISABLED;
    refuses(&planned, "vbmeta has flags, 0x2");
}

static void entries_have_their_names(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);

    planned.image_name = "original_apex"; /* of a compressed APEX */
    refuses(&planned, "no entry 'apex_payload.img'");
    planned = plan(fixture);
    planned.key_name = "apex_pubkey.pem";
    refuses(&planned, "no entry 'apex_pubkey'");
    planned = plan(fixture);
    planned.manifest_name = "apex_manifest.json";
    refuses(&planned, "no entry 'apex_manifest.pb'");
}

static void what_is_behind_the_apex_is_zeros(void **state)
{
    const Fixture *fixture = *state;
    Plan planned = plan(fixture);
    _cleanup_(apex_deinit) Apex apex = make(&planned);

    assert_true(apex.size < apex.partition_size);
    apex.partition[apex.partition_size - 1] = 1;
    is_refused(&apex, "behind the zip's end record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_what_was_put_in),
        cmocka_unit_test(images_with_appended_trees_are_taken),
        cmocka_unit_test(signature_is_of_the_key_beside_the_image),
        cmocka_unit_test(bytes_that_are_altered_are_found),
        cmocka_unit_test(signed_bytes_are_all_looked_at),
        cmocka_unit_test(image_has_one_hash_tree),
        cmocka_unit_test(tree_is_one_that_the_guest_can_use),
        cmocka_unit_test(image_lies_on_blocks_as_it_is),
        cmocka_unit_test(flags_are_refused),
        cmocka_unit_test(entries_have_their_names),
        cmocka_unit_test(what_is_behind_the_apex_is_zeros),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
