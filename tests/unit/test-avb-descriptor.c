/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors against bytes that are laid out here by offset, and each of their limits. */
#include "composite-disk/avb-descriptor.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define ROOM 8192

static AvbBytes text(const char *string)
{
    return avb_bytes_from_string(string);
}

static uint8_t digest_bytes[AVB_DIGEST_SIZE_MAX + 1] = { 0xd1, 0xd2 };
static uint8_t salt_bytes[AVB_SALT_SIZE_MAX + 1] = { 0x51, 0x52, 0x53 };
static uint8_t long_name[AVB_PARTITION_NAME_MAX + 1];

static AvbDescriptor make_hashtree(void)
{
    return (AvbDescriptor){
        .tag = AVB_HASHTREE,
        .hashtree = { .dm_verity_version = 1,
                      .image_size = 8192,
                      .tree_offset = 8192,
                      .tree_size = 4096,
                      .data_block_size = 4096,
                      .hash_block_size = 4096,
                      .algorithm = "sha256",
                      .name = text("system"),
                      .salt = { salt_bytes, 3 },
                      .digest = { digest_bytes, 32 } },
    };
}

static AvbDescriptor make_hash(void)
{
    return (AvbDescriptor){
        .tag = AVB_HASH,
        .hash = { .image_size = 0x123456789a,
                  .algorithm = "sha512",
                  .name = text("boot"),
                  .salt = { salt_bytes, 3 },
                  .digest = { digest_bytes, 64 },
                  .flags = 1 },
    };
}

static size_t encode(const AvbDescriptor *descriptor, uint8_t bytes[static ROOM])
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteWriter writer = byte_writer(bytes, ROOM);

    if (avb_descriptor_encode(descriptor, &writer, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    assert_int_equal(byte_writer_finish(&writer), 0);
    return writer.size;
}

static AvbDescriptor decode(const uint8_t *bytes, size_t size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ bytes, size });
    AvbDescriptor descriptor;

    if (avb_descriptor_next(&cursor, &descriptor, &error) != 1)
        fail_msg("%s", error_get_message(&error));
    assert_int_equal(cursor.offset, size);
    AvbDescriptor none;
    assert_int_equal(avb_descriptor_next(&cursor, &none, NULL), 0);
    return descriptor;
}

static void assert_bytes(AvbBytes bytes, AvbBytes expected)
{
    assert_true(avb_bytes_equal(bytes, expected));
}

static uint64_t get_be(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void put_be(uint8_t *bytes, unsigned width, uint64_t value)
{
    for (unsigned i = width; i-- > 0; value >>= 8)
        bytes[i] = (uint8_t)value;
}

static void a_hashtree_lies_as_the_format_has_it(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor tree = make_hashtree();

    tree.hashtree.fec_roots = 2;
    tree.hashtree.fec_offset = 12288;
    tree.hashtree.fec_size = 8192;
    tree.hashtree.flags = 2;
    size_t size = encode(&tree, bytes);
    assert_int_equal(size, 180 + 6 + 3 + 32 + 3); /* filled up to a multiple of 8 */
    assert_int_equal(get_be(bytes, 8), 1);
    assert_int_equal(get_be(bytes + 8, 8), size - 16);
    assert_int_equal(get_be(bytes + 16, 4), 1);
    assert_int_equal(get_be(bytes + 20, 8), 8192);
    assert_int_equal(get_be(bytes + 28, 8), 8192);
    assert_int_equal(get_be(bytes + 36, 8), 4096);
    assert_int_equal(get_be(bytes + 44, 4), 4096);
    assert_int_equal(get_be(bytes + 48, 4), 4096);
    assert_int_equal(get_be(bytes + 52, 4), 2);
    assert_int_equal(get_be(bytes + 56, 8), 12288);
    assert_int_equal(get_be(bytes + 64, 8), 8192);
    assert_memory_equal(bytes + 72, "sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
    assert_int_equal(get_be(bytes + 104, 4), 6);
    assert_int_equal(get_be(bytes + 108, 4), 3);
    assert_int_equal(get_be(bytes + 112, 4), 32);
    assert_int_equal(get_be(bytes + 116, 4), 2);
    for (size_t i = 120; i < 180; i++)
        assert_int_equal(bytes[i], 0);
    assert_memory_equal(bytes + 180, "system\x51\x52\x53\xd1\xd2", 11);
    assert_int_equal(get_be(bytes + size - 3, 3), 0);

    AvbHashtree read = decode(bytes, size).hashtree;
    assert_int_equal(read.image_size, 8192);
    assert_int_equal(read.tree_offset, 8192);
    assert_int_equal(read.tree_size, 4096);
    assert_int_equal(read.fec_roots, 2);
    assert_int_equal(read.fec_offset, 12288);
    assert_int_equal(read.fec_size, 8192);
    assert_int_equal(read.flags, 2);
    assert_string_equal(read.algorithm, "sha256");
    assert_bytes(read.name, tree.hashtree.name);
    assert_bytes(read.salt, tree.hashtree.salt);
    assert_bytes(read.digest, tree.hashtree.digest);
}

static void a_hash_lies_as_the_format_has_it(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor hash = make_hash();

    size_t size = encode(&hash, bytes);
    assert_int_equal(size, 208); /* 132 + 4 + 3 + 64 = 203 */
    assert_int_equal(get_be(bytes, 8), 2);
    assert_int_equal(get_be(bytes + 8, 8), 192);
    assert_int_equal(get_be(bytes + 16, 8), 0x123456789a);
    assert_memory_equal(bytes + 24, "sha512\0", 7);
    assert_int_equal(get_be(bytes + 56, 4), 4);
    assert_int_equal(get_be(bytes + 60, 4), 3);
    assert_int_equal(get_be(bytes + 64, 4), 64);
    assert_int_equal(get_be(bytes + 68, 4), 1);
    assert_memory_equal(bytes + 132, "boot\x51\x52\x53\xd1\xd2", 9);

    AvbHash read = decode(bytes, size).hash;
    assert_int_equal(read.image_size, 0x123456789a);
    assert_int_equal(read.flags, 1);
    assert_bytes(read.name, hash.hash.name);
    assert_bytes(read.salt, hash.hash.salt);
    assert_bytes(read.digest, hash.hash.digest);
    assert_int_equal(avb_descriptor_get_minor_version(&hash), 1);
}

static void property_cmdline_and_chain_lie_as_the_format_has_them(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor property = { .tag = AVB_PROPERTY,
                               .property = { text("key"), { (const uint8_t *)"va\0ue", 5 } } };
    AvbDescriptor cmdline = { .tag = AVB_KERNEL_CMDLINE,
                              .kernel_cmdline = { 1, text("quiet root=/dev/dm-0") } };
    AvbDescriptor chain = { .tag = AVB_CHAIN_PARTITION,
                            .chain_partition = { .rollback_index_location = 3,
                                                 .name = text("vendor"),
                                                 .public_key = { digest_bytes, 5 },
                                                 .flags = 1 } };

    size_t size = encode(&property, bytes);
    assert_int_equal(size, 48); /* 32 + 3 + 1 + 5 + 1 = 42 */
    assert_memory_equal(bytes,
                        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x05"
                        "key\0va\0ue\0\0\0\0\0\0\0",
                        48);
    assert_bytes(decode(bytes, size).property.value, property.property.value);

    size = encode(&cmdline, bytes);
    assert_memory_equal(bytes,
                        "\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x20\0\0\0\x01\0\0\0\x14"
                        "quiet root=/dev/dm-0\0\0\0\0",
                        48);
    assert_int_equal(size, 48);
    assert_bytes(decode(bytes, size).kernel_cmdline.text, cmdline.kernel_cmdline.text);

    size = encode(&chain, bytes);
    assert_int_equal(size, 104); /* 92 + 6 + 5 = 103 */
    assert_memory_equal(bytes,
                        "\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x58"
                        "\0\0\0\x03\0\0\0\x06\0\0\0\x05\0\0\0\x01",
                        32);
    assert_memory_equal(bytes + 92, "vendor\xd1\xd2\0\0\0\0", 12);
    AvbChainPartition read = decode(bytes, size).chain_partition;
    assert_int_equal(read.rollback_index_location, 3);
    assert_bytes(read.public_key, chain.chain_partition.public_key);
    assert_int_equal(avb_descriptor_get_minor_version(&chain), 3);
    chain.chain_partition.flags = 0;
    assert_int_equal(avb_descriptor_get_minor_version(&chain), 0);
}

static void an_unknown_one_is_kept(void **state)
{
    (void)state;
    uint8_t bytes[ROOM], again[ROOM];
    AvbDescriptor unknown = { .tag = 5, .unknown = { salt_bytes, 16 } };

    size_t size = encode(&unknown, bytes);
    assert_int_equal(size, 32);
    AvbDescriptor read = decode(bytes, size);
    assert_int_equal(read.tag, 5);
    assert_string_equal(avb_tag_to_string(read.tag), "unknown");
    assert_int_equal(encode(&read, again), size);
    assert_memory_equal(again, bytes, size);
    unknown.tag = UINT64_MAX;
    assert_int_equal(decode(bytes, encode(&unknown, bytes)).tag, UINT64_MAX);
}

static void assert_refused(const uint8_t *bytes, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ bytes, size });
    AvbDescriptor descriptor;

    assert_true(avb_descriptor_next(&cursor, &descriptor, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1,
                                      7,
                                      188, /* all the fields, and not filled up */
                                      193,
                                      200,
                                      (UINT64_C(1) << 63) - 8,
                                      UINT64_C(1) << 63,
                                      UINT64_MAX - 15,
                                      UINT64_MAX - 7,
                                      UINT64_MAX };
    uint8_t bytes[ROOM], *copy;
    AvbDescriptor hash = make_hash();
    size_t size = encode(&hash, bytes);

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        put_be(bytes + 8, 8, sizes[i]);
        assert_refused(bytes, size, "descriptor at offset 0");
    }
    for (size_t cut = 1; cut < size; cut++) {
        copy = malloc(cut); /* so that a sanitizer sees what is read behind it */
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_refused(copy, cut, "descriptor at offset 0");
        free(copy);
    }
    /* Large enough by its own word, and too small for its fields. */
    for (uint64_t body = 0; body < 187; body += 8) {
        put_be(bytes + 8, 8, body);
        assert_refused(bytes, 16 + body, "do not fit");
    }
}

static void lengths_inside_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t tag;
        size_t at;
        unsigned width;
    } fields[] = {
        { AVB_PROPERTY, 16, 8 },
        { AVB_PROPERTY, 24, 8 },
        { AVB_HASHTREE, 104, 4 },
        { AVB_HASHTREE, 108, 4 },
        { AVB_HASHTREE, 112, 4 },
        { AVB_HASH, 56, 4 },
        { AVB_HASH, 60, 4 },
        { AVB_HASH, 64, 4 },
        { AVB_KERNEL_CMDLINE, 20, 4 },
        { AVB_CHAIN_PARTITION, 20, 4 },
        { AVB_CHAIN_PARTITION, 24, 4 },
    };
    AvbDescriptor descriptors[] = {
        { .tag = AVB_PROPERTY, .property = { text("key"), text("value") } },
        make_hashtree(),
        make_hash(),
        { .tag = AVB_KERNEL_CMDLINE, .kernel_cmdline = { 0, text("quiet") } },
        { .tag = AVB_CHAIN_PARTITION, .chain_partition = { 1, text("a"), text("key"), 0 } },
    };
    uint8_t bytes[ROOM];

    for (size_t i = 0; i < ELEMENTS_OF(fields); i++) {
        size_t size = encode(&descriptors[fields[i].tag], bytes);
        const uint64_t values[] = { size,      INT32_MAX,      UINT32_MAX,
                                    INT64_MAX, UINT64_MAX - 1, UINT64_MAX };

        for (size_t k = 0; k < ELEMENTS_OF(values); k++) {
            put_be(bytes + fields[i].at, fields[i].width, values[k]);
            assert_refused(bytes, size, "do not fit");
        }
    }
}

static void texts_without_their_nul_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor property = { .tag = AVB_PROPERTY, .property = { text("key"), text("value") } };
    AvbDescriptor hash = make_hash();

    size_t size = encode(&property, bytes);
    bytes[32 + 3] = 'x';
    assert_refused(bytes, size, "do not fit");
    size = encode(&property, bytes);
    bytes[32 + 3 + 1 + 5] = 'x';
    assert_refused(bytes, size, "do not fit");
    size = encode(&hash, bytes);
    memset(bytes + 24, 'x', 32);
    assert_refused(bytes, size, "do not fit");
    size = encode(&hash, bytes);
    bytes[132] = 0x1b;
    assert_refused(bytes, size, "no printable text");
    bytes[132] = 0xff;
    assert_refused(bytes, size, "no printable text");
}

/* Both when it is made and when it is read. */
static void assert_wrong(const AvbDescriptor *wrong, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t bytes[ROOM];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    assert_true(avb_descriptor_encode(wrong, &writer, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void names_and_digests_have_their_limits(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor hash = make_hash();

    memset(long_name, 'n', sizeof(long_name));
    hash.hash.name = (AvbBytes){ long_name, AVB_PARTITION_NAME_MAX };
    size_t size = encode(&hash, bytes);
    decode(bytes, size);
    put_be(bytes + 56, 4, AVB_PARTITION_NAME_MAX + 1);
    put_be(bytes + 60, 4, 2); /* one of the salt's */
    assert_refused(bytes, size, "name of 32 bytes; it has 1 to 31");
    hash.hash.name.size++;
    assert_wrong(&hash, "name of 32 bytes");
    hash.hash.name.size = 0;
    assert_wrong(&hash, "name of 0 bytes");

    hash = make_hash();
    hash.hash.salt.size = AVB_SALT_SIZE_MAX;
    decode(bytes, encode(&hash, bytes));
    hash.hash.salt.size++;
    assert_wrong(&hash, "salt of 257 bytes");
    hash = make_hash();
    hash.hash.digest.size--;
    assert_wrong(&hash, "digest of 63 bytes with the hash algorithm sha512");
    memset(hash.hash.algorithm, 0, sizeof(hash.hash.algorithm));
    strcpy(hash.hash.algorithm, "other");
    hash.hash.digest.size = AVB_DIGEST_SIZE_MAX;
    decode(bytes, encode(&hash, bytes));
    hash.hash.digest.size++;
    assert_wrong(&hash, "digest of 65 bytes");
    *hash.hash.algorithm = '\0';
    hash.hash.digest.size--;
    assert_wrong(&hash, "algorithm without a printable name");
    hash.hash.digest.size = 0; /* the device keeps it */
    decode(bytes, encode(&hash, bytes));
    hash.hash.image_size = UINT64_C(1) << 63;
    assert_wrong(&hash, "an image of 9223372036854775808 bytes");
}

static void places_of_a_tree_have_their_limits(void **state)
{
    (void)state;
    const uint64_t last = AVB_IMAGE_SIZE_MAX - 4095; /* a block that ends at 2^63 begins here */
    uint8_t bytes[ROOM];
    AvbDescriptor good = make_hashtree(), tree = good;

    tree.hashtree.tree_offset = last - 4096;
    decode(bytes, encode(&tree, bytes));
    tree.hashtree.tree_offset = last;
    assert_wrong(&tree, "which no file can hold");
    tree.hashtree.tree_offset = UINT64_MAX - 4095;
    assert_wrong(&tree, "which no file can hold");
    tree = good;
    tree.hashtree.tree_size = UINT64_MAX - 4095;
    assert_wrong(&tree, "which no file can hold");
    tree = good;
    tree.hashtree.tree_offset = 4096;
    assert_wrong(&tree, "overlaps what ends at 8192");
    tree.hashtree.tree_offset = 8193;
    assert_wrong(&tree, "not whole blocks");
    tree = good;
    tree.hashtree.tree_size = 4095;
    assert_wrong(&tree, "not whole blocks");
    static const uint64_t image_sizes[] = { 0, 1, 8191, UINT64_C(1) << 63, UINT64_MAX - 4095 };
    for (size_t i = 0; i < ELEMENTS_OF(image_sizes); i++) {
        tree = good;
        tree.hashtree.image_size = image_sizes[i];
        assert_wrong(&tree, "no number of blocks");
    }
    static const uint32_t block_sizes[] = { 0, 256, 4095, 131072, UINT32_C(1) << 31 };
    for (size_t i = 0; i < ELEMENTS_OF(block_sizes); i++) {
        tree = good;
        tree.hashtree.data_block_size = block_sizes[i];
        assert_wrong(&tree, "data blocks of");
        tree = good;
        tree.hashtree.hash_block_size = block_sizes[i];
        assert_wrong(&tree, "hash blocks of");
    }
    tree = good;
    tree.hashtree.dm_verity_version = 0;
    assert_wrong(&tree, "version 0");
    tree = good;
    tree.hashtree.fec_roots = 2;
    tree.hashtree.fec_offset = 8192;
    assert_wrong(&tree, "FEC at offset 8192 that overlaps what ends at 12288");
    tree.hashtree.fec_offset = 12287;
    assert_wrong(&tree, "overlaps");
    tree.hashtree.fec_offset = 12288;
    tree.hashtree.fec_size = UINT64_MAX;
    assert_wrong(&tree, "which no file can hold");
    tree = good;
    tree.hashtree.digest.size = 0;
    assert_wrong(&tree, "digest of 0 bytes");
}

static void the_same_limits_hold_when_it_is_read(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned width;
        uint64_t value;
        const char *words;
    } cases[] = {
        { 16, 4, 2, "dm-verity version 2" },
        { 20, 8, 8191, "no number of blocks" },
        { 20, 8, UINT64_MAX - 4095, "no number of blocks" },
        { 28, 8, 4096, "overlaps" },
        { 28, 8, 8200, "not whole blocks" },
        { 28, 8, UINT64_MAX - 4095, "no file can hold" },
        { 36, 8, UINT64_MAX - 4095, "no file can hold" },
        { 36, 8, (UINT64_C(1) << 63) - 4096, "no file can hold" },
        { 44, 4, 0, "data blocks of 0" },
        { 48, 4, 0, "hash blocks of 0" },
        { 104, 4, AVB_PARTITION_NAME_MAX + 1, "bytes" },
        { 112, 4, 20, "digest of 20 bytes" },
    };
    AvbDescriptor tree = make_hashtree();
    uint8_t bytes[ROOM];

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        size_t size = encode(&tree, bytes);

        put_be(bytes + cases[i].at, cases[i].width, cases[i].value);
        assert_refused(bytes, size, cases[i].words);
    }
    AvbDescriptor chain = { .tag = AVB_CHAIN_PARTITION,
                            .chain_partition = { 1, text("vendor"), text("key"), 0 } };
    size_t size = encode(&chain, bytes);
    put_be(bytes + 16, 4, 0);
    assert_refused(bytes, size, "location 0");
}

static void a_hashtree_may_be_of_no_partition(void **state)
{
    (void)state;
    AvbDescriptor tree = make_hashtree();
    uint8_t bytes[ROOM];

    tree.hashtree.name.size = 0;
    size_t size = encode(&tree, bytes);
    assert_int_equal(decode(bytes, size).hashtree.name.size, 0);
    tree.hashtree.name = (AvbBytes){ long_name, AVB_PARTITION_NAME_MAX + 1 };
    assert_wrong(&tree, "name of 32 bytes");
}

static void a_wrong_one_names_its_offset(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t bytes[ROOM];
    AvbDescriptor hash = make_hash(), read;

    size_t size = encode(&hash, bytes);
    encode(&hash, bytes + size);
    bytes[2 * size - 208 + 132] = 0x07;
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ bytes, 2 * size });
    assert_int_equal(avb_descriptor_next(&cursor, &read, NULL), 1);
    assert_int_equal(cursor.offset, 208);
    assert_true(avb_descriptor_next(&cursor, &read, &error) < 0);
    assert_int_equal(cursor.offset, 208);
    assert_non_null(strstr(error_get_message(&error), "at offset 208"));
}

static void one_that_does_not_fit_the_writer_is_seen_there(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    AvbDescriptor hash = make_hash();

    for (size_t room = 0; room <= 208; room++) {
        ByteWriter writer = byte_writer(bytes, room);

        assert_int_equal(avb_descriptor_encode(&hash, &writer, NULL), 0);
        assert_int_equal(byte_writer_finish(&writer) == 0, room == 208);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hashtree_lies_as_the_format_has_it),
        cmocka_unit_test(a_hash_lies_as_the_format_has_it),
        cmocka_unit_test(property_cmdline_and_chain_lie_as_the_format_has_them),
        cmocka_unit_test(an_unknown_one_is_kept),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(lengths_inside_that_do_not_fit_are_refused),
        cmocka_unit_test(texts_without_their_nul_are_refused),
        cmocka_unit_test(names_and_digests_have_their_limits),
        cmocka_unit_test(places_of_a_tree_have_their_limits),
        cmocka_unit_test(the_same_limits_hold_when_it_is_read),
        cmocka_unit_test(a_hashtree_may_be_of_no_partition),
        cmocka_unit_test(a_wrong_one_names_its_offset),
        cmocka_unit_test(one_that_does_not_fit_the_writer_is_seen_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
