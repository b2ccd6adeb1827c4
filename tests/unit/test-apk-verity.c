/* SPDX-License-Identifier: Apache-2.0 */
/* Devices are made in tests/integration/test-guest-devices.py. */
#include "guest/apk-verity.h"

#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define BLOCK          ((uint64_t)MERKLE_BLOCK_SIZE)
#define APK_SIZE       (3 * BLOCK)
#define PARTITION_SIZE (3 * BLOCK) /* of the idsig, header, tree and zeros */

typedef struct Partition {
    uint8_t bytes[PARTITION_SIZE];
    size_t header_size;
    ByteSource source;
} Partition;

static Idsig plain_idsig(void)
{
    return (Idsig){ .root = "root",
                    .apk_digest = byte_reader("digest", 6),
                    .algorithm = 0x0103,
                    .tree_size = BLOCK };
}

static void partition_init(Partition *partition, const Idsig *idsig)
{
    ByteWriter writer = byte_writer(partition->bytes, sizeof(partition->bytes));

    memset(partition, 0, sizeof(*partition));
    assert_int_equal(idsig_encode(idsig, &writer), 0);
    partition->header_size = writer.size;
    partition->source = byte_source_from_memory(partition->bytes, sizeof(partition->bytes));
}

static void refuses(const ByteSource *idsig, uint64_t apk_size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApkVerity verity = { .algorithm = 77 };

    assert_true(apk_verity_read_idsig(idsig, apk_size, &verity, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(verity.algorithm, 77);
}

static void header_is_kept_and_hashed_without_what_follows(void **state)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig idsig = plain_idsig();
    Partition partition;
    uint8_t hash[IDSIG_HEADER_HASH_SIZE];

    (void)state;
    partition_init(&partition, &idsig);
    partition.bytes[partition.header_size] = 0xff; /* of the tree */
    assert_int_equal(apk_verity_read_idsig(&partition.source, APK_SIZE, &verity, NULL), 0);

    assert_int_equal(verity.idsig_header_size, partition.header_size);
    assert_memory_equal(verity.idsig_header, partition.bytes, partition.header_size);
    mbedtls_sha256_ret(partition.bytes, partition.header_size, hash, 0);
    assert_memory_equal(verity.idsig_header_hash, hash, sizeof(hash));
    assert_memory_equal(verity.root, idsig.root, sizeof(verity.root));
    assert_int_equal(verity.apk_digest_size, 6);
    assert_memory_equal(verity.apk_digest, "digest", 6);
    assert_int_equal(verity.algorithm, 0x0103);
    assert_int_equal(verity.tree_size, BLOCK);
    assert_int_equal(verity.salt_size, 0);
}

static void salt_is_padded_as_fs_verity_pads_it(void **state)
{
    uint8_t expected[MERKLE_SALT_ALIGNMENT] = "salt";
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    idsig.salt = byte_reader("salt", 4);
    partition_init(&partition, &idsig);
    assert_int_equal(apk_verity_read_idsig(&partition.source, APK_SIZE, &verity, NULL), 0);
    assert_int_equal(verity.salt_size, sizeof(expected));
    assert_memory_equal(verity.salt, expected, sizeof(expected));
}

static void apk_of_one_block_has_no_tree(void **state)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    idsig.tree_size = 0;
    partition_init(&partition, &idsig);
    assert_int_equal(apk_verity_read_idsig(&partition.source, BLOCK, &verity, NULL), 0);
    assert_int_equal(verity.tree_size, 0);
    refuses(&partition.source, 2 * BLOCK, "tree");
}

static void partition_ends_with_the_tree_or_behind_it(void **state)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    partition_init(&partition, &idsig);
    partition.source.size = partition.header_size + BLOCK;
    assert_int_equal(apk_verity_read_idsig(&partition.source, APK_SIZE, &verity, NULL), 0);
    partition.source.size--;
    refuses(&partition.source, APK_SIZE, "ends within its tree");
    partition.source.size = partition.header_size - 1;
    refuses(&partition.source, APK_SIZE, "ends within its tree size");
    partition.source.size = 0;
    refuses(&partition.source, APK_SIZE, "ends within its version");
}

static void tree_is_the_size_of_the_partitions(void **state)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    partition_init(&partition, &idsig);
    assert_int_equal(
        apk_verity_read_idsig(&partition.source, MERKLE_HASHES_PER_BLOCK * BLOCK, &verity, NULL),
        0);
    refuses(&partition.source, (MERKLE_HASHES_PER_BLOCK + 1) * BLOCK, "tree of 4096 bytes");
    refuses(&partition.source, BLOCK, "tree of 4096 bytes");
}

static void partition_of_the_apk_has_whole_blocks(void **state)
{
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    partition_init(&partition, &idsig);
    refuses(&partition.source, 0, "no multiple of 4096");
    refuses(&partition.source, APK_SIZE - 1, "no multiple of 4096");
    refuses(&partition.source, APK_SIZE + 512, "no multiple of 4096");
}

static void largest_header_is_taken(void **state)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    static uint8_t large[IDSIG_SIGNING_INFO_MAX];
    Idsig idsig = plain_idsig();
    Partition partition;

    (void)state;
    idsig.salt = byte_reader("0123456789abcdef0123456789abcdef", IDSIG_SALT_MAX);
    idsig.certificate = byte_reader(large, IDSIG_SIGNING_INFO_MAX - 6 * 4 - 6);
    partition_init(&partition, &idsig);
    assert_int_equal(partition.header_size, IDSIG_HEADER_MAX);
    assert_int_equal(apk_verity_read_idsig(&partition.source, APK_SIZE, &verity, NULL), 0);
    assert_int_equal(verity.idsig_header_size, IDSIG_HEADER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_kept_and_hashed_without_what_follows),
        cmocka_unit_test(salt_is_padded_as_fs_verity_pads_it),
        cmocka_unit_test(apk_of_one_block_has_no_tree),
        cmocka_unit_test(partition_ends_with_the_tree_or_behind_it),
        cmocka_unit_test(tree_is_the_size_of_the_partitions),
        cmocka_unit_test(partition_of_the_apk_has_whole_blocks),
        cmocka_unit_test(largest_header_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
