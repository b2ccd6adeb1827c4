/* SPDX-License-Identifier: Apache-2.0 */
/* The layout was read off files that apksigner 0.9 wrote. */
#include "composite-disk/idsig.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define TREE_SIZE 0x1000

static const uint8_t hashing_info[45] = {
    1, 0, 0, 0, 12, 0, 0, 0, 0, 32, 0, 0, 0, 'r', 'o', 'o', 't',
};

static const uint8_t signing_info[] = {
    4,   0,   0,   0, 'd', 'g', 's', 't',           /* APK digest */
    3,   0,   0,   0, 'c', 'r', 't',                /* certificate */
    1,   0,   0,   0, 'a',                          /* additional data */
    2,   0,   0,   0, 'k', 'y',                     /* public key */
    1,   2,   0,   0, 5,   0,   0,   0,   's', 'i', /* algorithm, signature */
    'g', 'n', '!',
};

/* An idsig of these parts, without its tree. */
static size_t make(uint8_t *bytes,
                   size_t capacity,
                   const void *hashing,
                   size_t hashing_size,
                   const void *signing,
                   size_t signing_size)
{
    ByteWriter writer = byte_writer(bytes, capacity);

    byte_writer_put_le32(&writer, 2);
    byte_writer_put_le32(&writer, (uint32_t)hashing_size);
    byte_writer_put_bytes(&writer, hashing, hashing_size);
    byte_writer_put_le32(&writer, (uint32_t)signing_size);
    byte_writer_put_bytes(&writer, signing, signing_size);
    byte_writer_put_le32(&writer, TREE_SIZE);
    assert_int_equal(byte_writer_finish(&writer), 0);
    return writer.size;
}

static size_t make_usual(uint8_t bytes[static IDSIG_HEADER_MAX])
{
    return make(bytes, IDSIG_HEADER_MAX, hashing_info, sizeof(hashing_info), signing_info,
                sizeof(signing_info));
}

static void refuses(const void *bytes, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Idsig idsig = { .algorithm = 77 };

    assert_true(idsig_decode(bytes, size, &idsig, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_int_equal(idsig.algorithm, 77);
}

static void assert_view(ByteReader view, const char *expected)
{
    assert_int_equal(view.size, strlen(expected));
    assert_memory_equal(view.data, expected, view.size);
}

static void all_fields_are_read_and_written_as_they_were(void **state)
{
    uint8_t bytes[IDSIG_HEADER_MAX], again[IDSIG_HEADER_MAX];
    size_t size = make_usual(bytes);
    ByteWriter writer = byte_writer(again, sizeof(again));
    Idsig idsig;

    (void)state;
    assert_int_equal(idsig_decode(bytes, size, &idsig, NULL), 0);
    assert_int_equal(idsig.salt.size, 0);
    assert_memory_equal(idsig.root, hashing_info + 13, 32);
    assert_view(idsig.apk_digest, "dgst");
    assert_view(idsig.certificate, "crt");
    assert_view(idsig.additional_data, "a");
    assert_view(idsig.public_key, "ky");
    assert_int_equal(idsig.algorithm, 0x201);
    assert_view(idsig.signature, "sign!");
    assert_int_equal(idsig.tree_size, TREE_SIZE);
    assert_int_equal(idsig.tree_offset, size);

    assert_int_equal(idsig_encode(&idsig, &writer), 0);
    assert_int_equal(writer.size, size);
    assert_memory_equal(again, bytes, size);
}

static void signed_data_has_its_own_size_and_the_apks_first(void **state)
{
    uint8_t bytes[IDSIG_HEADER_MAX], data[IDSIG_SIGNED_DATA_MAX];
    ByteWriter writer = byte_writer(data, sizeof(data));
    static const uint8_t head[] = { 77, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
    Idsig idsig;

    (void)state;
    assert_int_equal(idsig_decode(bytes, make_usual(bytes), &idsig, NULL), 0);
    assert_int_equal(idsig_encode_signed_data(&idsig, 0x0102030405060708, &writer), 0);
    assert_int_equal(writer.size, 77);
    assert_memory_equal(data, head, sizeof(head));
    assert_memory_equal(data + 12, hashing_info, sizeof(hashing_info));
    /* Digest, certificate and additional data, without what is made by signing. */
    assert_memory_equal(data + 57, signing_info, 20);
}

static void every_cut_is_refused(void **state)
{
    uint8_t bytes[IDSIG_HEADER_MAX];
    size_t size = make_usual(bytes);

    (void)state;
    for (size_t cut = 0; cut < size; cut++)
        refuses(bytes, cut, "ends within its");
}

static void lengths_that_leave_their_surroundings_are_refused(void **state)
{
    uint8_t bytes[IDSIG_HEADER_MAX], info[sizeof(signing_info) + 1];
    size_t size;

    (void)state;
    /* The signature's length reaches into the tree size behind it. */
    memcpy(info, signing_info, sizeof(signing_info));
    info[30] = 6;
    size =
        make(bytes, sizeof(bytes), hashing_info, sizeof(hashing_info), info, sizeof(signing_info));
    refuses(bytes, size, "ends within its signature");
    size = make(bytes, sizeof(bytes), hashing_info, sizeof(hashing_info) - 1, signing_info,
                sizeof(signing_info));
    refuses(bytes, size, "ends within its root hash");
    memcpy(info, signing_info, sizeof(signing_info));
    memset(info + 8, 0xff, 4);
    size =
        make(bytes, sizeof(bytes), hashing_info, sizeof(hashing_info), info, sizeof(signing_info));
    refuses(bytes, size, "ends within its certificate");
}

static void bytes_too_many_in_a_part_are_refused(void **state)
{
    uint8_t bytes[IDSIG_HEADER_MAX], larger[64] = { 0 };
    size_t size;

    (void)state;
    memcpy(larger, signing_info, sizeof(signing_info));
    size = make(bytes, sizeof(bytes), hashing_info, sizeof(hashing_info), larger,
                sizeof(signing_info) + 1);
    refuses(bytes, size, "1 bytes at the end of its signing info");
    memcpy(larger, hashing_info, sizeof(hashing_info));
    size = make(bytes, sizeof(bytes), larger, sizeof(hashing_info) + 1, signing_info,
                sizeof(signing_info));
    refuses(bytes, size, "1 bytes at the end of its hashing info");
}

static void other_versions_hashes_and_blocks_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
        const char *words;
    } cases[] = {
        { 0, 0, "version 0" },
        { 0, 1, "version 1" },
        { 0, 3, "version 3" },
        { 8, 2, "hash algorithm 2" },
        { 8, 0, "hash algorithm 0" },
        { 12, 13, "blocks of 2^13" },
        { 12, 0xff, "blocks of 2^255" },
        { 17, 31, "root hash has 31 bytes" },
        { 17, 33, "root hash has 33 bytes" },
    };
    uint8_t bytes[IDSIG_HEADER_MAX];

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        size_t size = make_usual(bytes);

        bytes[cases[i].offset] = cases[i].value;
        refuses(bytes, size, cases[i].words);
    }
}

static void an_empty_apk_digest_is_refused(void **state)
{
    static const uint8_t empty[24];
    uint8_t bytes[IDSIG_HEADER_MAX];

    (void)state;
    size_t size =
        make(bytes, sizeof(bytes), hashing_info, sizeof(hashing_info), empty, sizeof(empty));
    refuses(bytes, size, "no APK digest");
}

/* Decodes an idsig with strings of these sizes; what is written beyond a maximum is refused too. */
static int try_sizes(size_t salt, size_t digest, size_t certificate, Error *error)
{
    static uint8_t zeros[IDSIG_SIGNING_INFO_MAX], bytes[IDSIG_HEADER_MAX + 64];
    uint8_t hashing[IDSIG_HASHING_INFO_MAX + 64], signing[IDSIG_SIGNING_INFO_MAX + 64];
    ByteWriter hashing_writer = byte_writer(hashing, sizeof(hashing));
    ByteWriter signing_writer = byte_writer(signing, sizeof(signing));
    Idsig idsig = { .salt = byte_reader(zeros, salt),
                    .apk_digest = byte_reader(zeros, digest),
                    .certificate = byte_reader(zeros, certificate) };
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));

    int encoded = idsig_encode(&idsig, &writer);
    byte_writer_put_le32(&hashing_writer, 1);
    byte_writer_put_u8(&hashing_writer, 12);
    byte_writer_put_le32(&hashing_writer, (uint32_t)salt);
    byte_writer_put_zeros(&hashing_writer, salt);
    byte_writer_put_le32(&hashing_writer, 32);
    byte_writer_put_zeros(&hashing_writer, 32);
    byte_writer_put_le32(&signing_writer, (uint32_t)digest);
    byte_writer_put_zeros(&signing_writer, digest);
    byte_writer_put_le32(&signing_writer, (uint32_t)certificate);
    byte_writer_put_zeros(&signing_writer, certificate + 16);
    size_t size =
        make(bytes, sizeof(bytes), hashing, hashing_writer.size, signing, signing_writer.size);
    int decoded = idsig_decode(bytes, size, &idsig, error);
    assert_int_equal(encoded < 0, decoded < 0);
    return decoded;
}

static void each_maximum_is_taken_and_one_more_is_not(void **state)
{
    const size_t certificate_max = IDSIG_SIGNING_INFO_MAX - 24 - 32;
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(try_sizes(IDSIG_SALT_MAX, IDSIG_APK_DIGEST_MAX, 0, NULL), 0);
    assert_int_equal(try_sizes(0, 32, certificate_max, NULL), 0);
    assert_int_equal(try_sizes(IDSIG_SALT_MAX, 64, certificate_max - 32, NULL), 0);

    assert_true(try_sizes(IDSIG_SALT_MAX + 1, 32, 0, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "hashing info has 78 bytes; at most 77"));
    error_clear(&error);
    assert_true(try_sizes(0, IDSIG_APK_DIGEST_MAX + 1, 0, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "APK digest has 65 bytes; at most 64"));
    error_clear(&error);
    assert_true(try_sizes(0, 32, certificate_max + 1, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "signing info has 7169 bytes"));
    error_clear(&error);
}

static void the_file_ends_with_the_tree(void **state)
{
    Idsig idsig = { .tree_offset = 100, .tree_size = UINT32_MAX };
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(idsig_check_size(&idsig, UINT64_C(100) + UINT32_MAX, NULL), 0);
    assert_true(idsig_check_size(&idsig, UINT64_C(99) + UINT32_MAX, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "ends within its tree"));
    error_clear(&error);
    assert_true(idsig_check_size(&idsig, UINT64_C(101) + UINT32_MAX, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "1 bytes behind its tree"));
    error_clear(&error);
}

static void the_tree_has_the_size_that_the_apks_has(void **state)
{
    Idsig idsig = { .tree_size = 4096 };
    Error error = ERROR_INIT;

    (void)state;
    assert_int_equal(idsig_check_tree_size(&idsig, 4097, NULL), 0);
    assert_int_equal(idsig_check_tree_size(&idsig, 128 * 4096, NULL), 0);
    assert_true(idsig_check_tree_size(&idsig, 4096, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "a tree of 4096 bytes"));
    error_clear(&error);
    assert_true(idsig_check_tree_size(&idsig, 128 * 4096 + 1, NULL) < 0);
    assert_true(idsig_check_tree_size(&idsig, UINT64_MAX, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    error_clear(&error);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_are_read_and_written_as_they_were),
        cmocka_unit_test(signed_data_has_its_own_size_and_the_apks_first),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(lengths_that_leave_their_surroundings_are_refused),
        cmocka_unit_test(bytes_too_many_in_a_part_are_refused),
        cmocka_unit_test(other_versions_hashes_and_blocks_are_refused),
        cmocka_unit_test(an_empty_apk_digest_is_refused),
        cmocka_unit_test(each_maximum_is_taken_and_one_more_is_not),
        cmocka_unit_test(the_file_ends_with_the_tree),
        cmocka_unit_test(the_tree_has_the_size_that_the_apks_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
