/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and hash trees that are computed here, block by block, against images that are altered. */
#include "composite-disk/avb-partition.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define BLOCK     4096
#define N_BLOCKS  200 /* two blocks of hashes, and one above them */
#define DATA_SIZE (N_BLOCKS * BLOCK)
#define TREE_SIZE (3 * BLOCK)
#define HASH_SIZE 32

static const uint8_t salt[] = { 1, 2, 3, 4, 5 };

static uint8_t image[DATA_SIZE + TREE_SIZE + 1];
static uint8_t root[HASH_SIZE];

static void hash(const EVP_MD *algorithm, const void *data, size_t size, uint8_t *ret_digest)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestInit_ex(context, algorithm, NULL), 1);
    assert_int_equal(EVP_DigestUpdate(context, salt, sizeof(salt)), 1);
    assert_int_equal(EVP_DigestUpdate(context, data, size), 1);
    assert_int_equal(EVP_DigestFinal_ex(context, ret_digest, NULL), 1);
    EVP_MD_CTX_free(context);
}

/* Fills the image: data, then the block on top, then those with the hashes of the data. */
static AvbHashtree make_image(void)
{
    uint8_t *top = image + DATA_SIZE, *lowest = top + BLOCK;

    memset(image, 0, sizeof(image));
    for (size_t i = 0; i < DATA_SIZE; i++)
        image[i] = (uint8_t)(i / BLOCK * 7 + i);
    for (size_t i = 0; i < N_BLOCKS; i++)
        hash(EVP_sha256(), image + i * BLOCK, BLOCK, lowest + i * HASH_SIZE);
    for (size_t i = 0; i < 2; i++)
        hash(EVP_sha256(), lowest + i * BLOCK, BLOCK, top + i * HASH_SIZE);
    hash(EVP_sha256(), top, BLOCK, root);
    return (AvbHashtree){
        .dm_verity_version = 1,
        .image_size = DATA_SIZE,
        .tree_offset = DATA_SIZE,
        .tree_size = TREE_SIZE,
        .data_block_size = BLOCK,
        .hash_block_size = BLOCK,
        .algorithm = "sha256",
        .name = avb_bytes_from_string("system"),
        .salt = { salt, sizeof(salt) },
        .digest = { root, sizeof(root) },
    };
}

static void assert_tree_refused(const AvbHashtree *tree,
                                size_t size,
                                ErrorKind kind,
                                const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = byte_source_from_memory(image, size);

    assert_true(avb_partition_verify_hashtree(tree, &source, NULL, &error) < 0);
    assert_int_equal(error.kind, kind);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void a_tree_that_was_made_elsewhere_is_right(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();
    ByteSource source = byte_source_from_memory(image, sizeof(image));

    assert_int_equal(avb_partition_verify_hashtree(&tree, &source, NULL, NULL), 0);
    image[sizeof(image) - 1] ^= 1; /* behind all that is told of */
    assert_int_equal(avb_partition_verify_hashtree(&tree, &source, NULL, NULL), 0);
}

static void altered_data_is_found_by_block(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();
    static const struct {
        size_t at;
        const char *words;
    } cases[] = {
        { 0, "hash of block 0" },
        { BLOCK - 1, "hash of block 0" },
        { 128 * BLOCK, "hash of block 128" },
        { DATA_SIZE - 1, "hash of block 199" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        image[cases[i].at] ^= 0x80;
        assert_tree_refused(&tree, sizeof(image), ERROR_IMAGE_INVALID, cases[i].words);
        image[cases[i].at] ^= 0x80;
    }
    image[7 * BLOCK] ^= 1;
    image[150 * BLOCK] ^= 1;
    assert_tree_refused(&tree, sizeof(image), ERROR_IMAGE_INVALID, "hash of block 7");
}

static void an_altered_tree_is_found_by_offset(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();
    static const struct {
        size_t at;
        const char *words;
    } cases[] = {
        { DATA_SIZE, "altered at offset 819200 " },
        { DATA_SIZE + BLOCK + 5, "altered at offset 823301 " },
        { DATA_SIZE + TREE_SIZE - 1, "altered at offset 831487 " }, /* the filling */
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        image[cases[i].at] ^= 1;
        assert_tree_refused(&tree, sizeof(image), ERROR_IMAGE_INVALID, cases[i].words);
        image[cases[i].at] ^= 1;
    }
}

static void another_image_with_its_own_tree_is_refused(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();

    root[31] ^= 1;
    assert_tree_refused(&tree, sizeof(image), ERROR_IMAGE_INVALID, "is another one");
}

static void a_short_image_and_another_size_of_tree_are_refused(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();

    assert_tree_refused(&tree, DATA_SIZE + TREE_SIZE - 1, ERROR_IMAGE_INVALID,
                        "has 831487 bytes; it needs 831488");
    assert_tree_refused(&tree, 0, ERROR_IMAGE_INVALID, "has 0 bytes");
    tree.tree_size -= BLOCK;
    assert_tree_refused(&tree, sizeof(image), ERROR_IMAGE_INVALID,
                        "a hash tree of 8192 bytes; 819200 bytes of data have one of 12288");
}

static void other_kinds_of_trees_are_not_supported(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();

    tree.data_block_size = 1024;
    assert_tree_refused(&tree, sizeof(image), ERROR_NOT_SUPPORTED, "over blocks of 4096");
    tree = make_image();
    tree.hash_block_size = 1024;
    assert_tree_refused(&tree, sizeof(image), ERROR_NOT_SUPPORTED, "over blocks of 4096");
    tree = make_image();
    strcpy(tree.algorithm, "sha1");
    assert_tree_refused(&tree, sizeof(image), ERROR_NOT_SUPPORTED, "not one of sha256");
}

static void an_image_of_one_block_has_no_tree(void **state)
{
    (void)state;
    AvbHashtree tree = make_image();
    ByteSource source = byte_source_from_memory(image, BLOCK);

    tree.image_size = tree.tree_offset = BLOCK;
    tree.tree_size = 0;
    hash(EVP_sha256(), image, BLOCK, root);
    assert_int_equal(avb_partition_verify_hashtree(&tree, &source, NULL, NULL), 0);
    image[0] ^= 1;
    assert_tree_refused(&tree, BLOCK, ERROR_IMAGE_INVALID, "is another one");
}

static void assert_hash_refused(const AvbHash *expected,
                                size_t size,
                                ErrorKind kind,
                                const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = byte_source_from_memory(image, size);

    assert_true(avb_partition_verify_hash(expected, &source, NULL, &error) < 0);
    assert_int_equal(error.kind, kind);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void a_hash_is_that_of_salt_and_image(void **state)
{
    (void)state;
    uint8_t expected[64], made[AVB_DIGEST_SIZE_MAX];
    AvbHash descriptor;

    make_image();
    ByteSource source = byte_source_from_memory(image, DATA_SIZE);
    assert_int_equal(avb_partition_make_hash(&source, "boot", (AvbBytes){ salt, sizeof(salt) },
                                             NULL, made, &descriptor, NULL),
                     0);
    hash(EVP_sha256(), image, DATA_SIZE, expected);
    assert_int_equal(descriptor.image_size, DATA_SIZE);
    assert_int_equal(descriptor.digest.size, 32);
    assert_memory_equal(descriptor.digest.data, expected, 32);
    assert_int_equal(avb_partition_verify_hash(&descriptor, &source, NULL, NULL), 0);

    /* What is behind the image in its partition does not count. */
    ByteSource partition = byte_source_from_memory(image, sizeof(image));
    assert_int_equal(avb_partition_verify_hash(&descriptor, &partition, NULL, NULL), 0);
    image[DATA_SIZE] ^= 1;
    assert_int_equal(avb_partition_verify_hash(&descriptor, &partition, NULL, NULL), 0);
    image[DATA_SIZE - 1] ^= 1;
    assert_hash_refused(&descriptor, DATA_SIZE, ERROR_IMAGE_INVALID, "'boot' was altered");
    image[DATA_SIZE - 1] ^= 1;
    assert_hash_refused(&descriptor, DATA_SIZE - 1, ERROR_IMAGE_INVALID,
                        "has 819199 bytes; it needs 819200");
    descriptor.image_size = 0; /* the hash of another size */
    assert_hash_refused(&descriptor, DATA_SIZE, ERROR_IMAGE_INVALID, "was altered");

    hash(EVP_sha512(), image, DATA_SIZE, expected);
    descriptor.image_size = DATA_SIZE;
    strcpy(descriptor.algorithm, "sha512");
    descriptor.digest = (AvbBytes){ expected, 64 };
    assert_int_equal(avb_partition_verify_hash(&descriptor, &source, NULL, NULL), 0);
    expected[63] ^= 1;
    assert_hash_refused(&descriptor, DATA_SIZE, ERROR_IMAGE_INVALID, "was altered");
    descriptor.digest.size = 0;
    assert_hash_refused(&descriptor, DATA_SIZE, ERROR_NOT_SUPPORTED, "kept by the device");
    strcpy(descriptor.algorithm, "sha1");
    descriptor.digest.size = 20;
    assert_hash_refused(&descriptor, DATA_SIZE, ERROR_NOT_SUPPORTED, "neither sha256 nor sha512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_that_was_made_elsewhere_is_right),
        cmocka_unit_test(altered_data_is_found_by_block),
        cmocka_unit_test(an_altered_tree_is_found_by_offset),
        cmocka_unit_test(another_image_with_its_own_tree_is_refused),
        cmocka_unit_test(a_short_image_and_another_size_of_tree_are_refused),
        cmocka_unit_test(other_kinds_of_trees_are_not_supported),
        cmocka_unit_test(an_image_of_one_block_has_no_tree),
        cmocka_unit_test(a_hash_is_that_of_salt_and_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
