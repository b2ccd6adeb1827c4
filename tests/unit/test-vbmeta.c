/* SPDX-License-Identifier: Apache-2.0 */
/* Structures that are made, read by offset and altered byte by byte. */
#include "composite-disk/vbmeta-make.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-public-key.h"
#include "tests/helpers/test.h"

#define RELEASE "a test of 47 bytes, which is the largest there i"

static const unsigned key_sizes[] = { 2048, 4096, 8192 };

typedef struct Fixture {
    SigningKey *keys[3];
    uint8_t descriptors[1024];
    size_t descriptors_size;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));
    const AvbDescriptor property = {
        .tag = AVB_PROPERTY,
        .property = { avb_bytes_from_string("key"), avb_bytes_from_string("value") },
    };
    const char *top = getenv("top_srcdir");

    assert_non_null(fixture);
    for (size_t i = 0; i < ELEMENTS_OF(key_sizes); i++) {
        char path[256];

        (void)snprintf(path, sizeof(path), "%s/tests/keys/rsa-%u.pem", top ? top : ".",
                       key_sizes[i]);
        assert_int_equal(signing_key_load(path, NULL, &fixture->keys[i], NULL), 0);
    }
    ByteWriter writer = byte_writer(fixture->descriptors, sizeof(fixture->descriptors));
    assert_int_equal(avb_descriptor_encode(&property, &writer, NULL), 0);
    assert_int_equal(avb_descriptor_encode(&property, &writer, NULL), 0);
    fixture->descriptors_size = writer.size;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    for (size_t i = 0; i < ELEMENTS_OF(fixture->keys); i++)
        signing_key_free(fixture->keys[i]);
    free(fixture);
    return 0;
}

static VbmetaContents contents_with(const Fixture *fixture, uint32_t algorithm)
{
    return (VbmetaContents){
        .algorithm = vbmeta_algorithm_find(algorithm),
        .key = algorithm == 0 ? NULL : fixture->keys[(algorithm - 1) % 3],
        .descriptors = { fixture->descriptors, fixture->descriptors_size },
        .rollback_index = UINT64_C(0x0102030405060708),
        .rollback_index_location = 0x11121314,
        .flags = 0x21222324,
        .release = "test",
    };
}

static uint8_t *make(const VbmetaContents *contents, size_t *ret_size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t *data = NULL;

    if (vbmeta_make(contents, &data, ret_size, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return data;
}

static Vbmeta parse(const uint8_t *data, size_t size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Vbmeta vbmeta;

    if (vbmeta_parse(data, size, &vbmeta, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return vbmeta;
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

static void a_header_lies_as_the_format_has_it(void **state)
{
    const Fixture *fixture = *state;
    VbmetaContents contents = contents_with(fixture, 1);
    size_t size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);
    static const struct {
        size_t at;
        uint64_t value;
    } fields[] = {
        { 12, 320 }, /* 32 + 256, and up to a multiple of 64 */
        { 20, 640 }, /* 96 + 520 */
        { 32, 0 },
        { 40, 32 }, /* hash */
        { 48, 32 },
        { 56, 256 }, /* signature */
        { 64, 96 },
        { 72, 520 }, /* public key */
        { 80, 616 },
        { 88, 0 }, /* its metadata */
        { 96, 0 },
        { 104, 96 }, /* descriptors */
        { 112, UINT64_C(0x0102030405060708) },
    };

    assert_int_equal(size, 256 + 320 + 640);
    assert_memory_equal(data, "AVB0\0\0\0\x01\0\0\0\x02", 12); /* 1.2 has locations */
    assert_int_equal(get_be(data + 28, 4), 1);
    for (size_t i = 0; i < ELEMENTS_OF(fields); i++)
        assert_true(get_be(data + fields[i].at, 8) == fields[i].value);
    assert_int_equal(get_be(data + 120, 4), 0x21222324);
    assert_int_equal(get_be(data + 124, 4), 0x11121314);
    assert_memory_equal(data + 128, "test\0\0\0\0", 8);
    for (size_t i = 132; i < 256; i++)
        assert_int_equal(data[i], 0);
    for (size_t i = 256 + 32 + 256; i < 256 + 320; i++)
        assert_int_equal(data[i], 0);
    assert_memory_equal(data + 256 + 320, fixture->descriptors, 96);
    for (size_t i = 256 + 320 + 616; i < size; i++)
        assert_int_equal(data[i], 0);
}

static void every_algorithm_signs_and_verifies(void **state)
{
    const Fixture *fixture = *state;

    for (uint32_t type = 1; type <= 6; type++) {
        VbmetaContents contents = contents_with(fixture, type);
        size_t size;
        _cleanup_free_ uint8_t *data = make(&contents, &size);
        Vbmeta vbmeta = parse(data, size);
        AvbPublicKey key;

        assert_int_equal(avb_public_key_from_key(contents.key->key, &key, NULL), 0);
        AvbBytes trusted = { key.bytes, key.size };
        assert_true(avb_bytes_equal(vbmeta.public_key, trusted));
        assert_int_equal(vbmeta_verify(&vbmeta, &trusted, NULL), 0);
        assert_ptr_equal(vbmeta.algorithm, contents.algorithm);
        assert_int_equal(vbmeta.hash.size, type <= 3 ? 32 : 64);
        assert_int_equal(vbmeta.signature.size, key_sizes[(type - 1) % 3] / 8);
        assert_true(vbmeta.rollback_index == contents.rollback_index);
        assert_int_equal(vbmeta.rollback_index_location, contents.rollback_index_location);
        assert_int_equal(vbmeta.flags, contents.flags);
        assert_string_equal(vbmeta.release, "test");
        assert_true(avb_bytes_equal(vbmeta.descriptors, contents.descriptors));
    }
}

static void assert_not_verified(const uint8_t *data,
                                size_t size,
                                const AvbBytes *trusted,
                                const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Vbmeta vbmeta = parse(data, size);

    assert_true(vbmeta_verify(&vbmeta, trusted, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void an_unsigned_one_is_read_and_never_verified(void **state)
{
    VbmetaContents contents = contents_with(*state, 0);
    AvbBytes none = { 0 };
    size_t size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);

    assert_int_equal(size, 256 + 128);
    assert_int_equal(parse(data, size).descriptors.size, 96);
    assert_not_verified(data, size, NULL, "not signed");
    assert_not_verified(data, size, &none, "not signed");
}

static void another_key_is_told_from_an_altered_structure(void **state)
{
    const Fixture *fixture = *state;
    VbmetaContents contents = contents_with(fixture, 1);
    size_t size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);
    AvbPublicKey key;

    assert_int_equal(avb_public_key_from_key(fixture->keys[1]->key, &key, NULL), 0);
    AvbBytes other = { key.bytes, key.size };
    assert_not_verified(data, size, &other, "with another key");
    other.size = 0;
    assert_not_verified(data, size, &other, "with another key");
    data[256 + 320]++;
    assert_not_verified(data, size, NULL, "was altered");
    data[256 + 320]--;
    data[256]++; /* the hash */
    assert_not_verified(data, size, NULL, "was altered");
    data[256]--;
    data[256 + 32]++;
    assert_not_verified(data, size, NULL, "signature is not one of this data");
    data[256 + 32]--;
    Vbmeta vbmeta = parse(data, size);
    assert_int_equal(vbmeta_verify(&vbmeta, NULL, NULL), 0);
}

/* Zeros behind the signature would be all that nothing vouches for; this algorithm has none. */
static void no_bit_can_change(void **state)
{
    VbmetaContents contents = contents_with(*state, 4);
    size_t size, n_taken = 0;
    _cleanup_free_ uint8_t *data = make(&contents, &size);

    assert_int_equal(get_be(data + 12, 8), 64 + 256);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit += 7) {
            Vbmeta vbmeta;

            data[i] ^= (uint8_t)(1U << bit);
            n_taken += vbmeta_parse(data, size, &vbmeta, NULL) == 0 &&
                       vbmeta_verify(&vbmeta, NULL, NULL) == 0;
            data[i] ^= (uint8_t)(1U << bit);
        }
    }
    assert_int_equal(n_taken, 0);
}

static void assert_not_parsed(const uint8_t *data, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Vbmeta vbmeta;

    assert_true(vbmeta_parse(data, size, &vbmeta, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void fields_out_of_range_are_refused(void **state)
{
    static const struct {
        size_t at;
        unsigned width;
        uint64_t value;
        const char *words;
    } cases[] = {
        { 0, 1, 'B', "AVB0" },
        { 4, 4, 2, "version 2.2; known are 1.0 to 1.3" },
        { 4, 4, 0, "version 0.2" },
        { 8, 4, 4, "version 1.4" },
        { 12, 8, 321, "multiples of 64" },
        { 20, 8, 641, "multiples of 64" },
        { 12, 8, UINT64_MAX - 63, "at most 65536" },
        { 12, 8, UINT64_MAX - 639, "at most 65536" },
        { 12, 8, (UINT64_C(1) << 63) - 64, "at most 65536" },
        { 20, 8, UINT64_C(1) << 63, "at most 65536" },
        { 20, 8, 65536, "at most 65536" },
        { 20, 8, 704, "of 1280 bytes, of which there are 1216" },
        { 28, 4, 7, "algorithm 7 is not known" },
        { 28, 4, UINT32_MAX, "is not known" },
        { 28, 4, 0, "algorithm NONE with a hash of 32" },
        { 28, 4, 2, "algorithm SHA256_RSA4096 with a hash of 32, a signature of 256 and" },
        { 32, 8, 289, "vbmeta hash of 32 bytes at offset 289" },
        { 32, 8, UINT64_MAX, "vbmeta hash" },
        { 32, 8, 1, "hash and signature overlap" },
        { 40, 8, 321, "vbmeta hash" },
        { 40, 8, UINT64_MAX, "vbmeta hash" },
        { 48, 8, 65, "vbmeta signature" },
        { 48, 8, UINT64_MAX - 255, "vbmeta signature" },
        { 56, 8, 257, "signature of 257" },
        { 56, 8, (UINT64_C(1) << 63) + 1, "vbmeta signature" },
        { 64, 8, 121, "vbmeta public key" },
        { 64, 8, 95, "descriptors and public key overlap" },
        { 72, 8, UINT64_MAX, "vbmeta public key" },
        { 72, 8, 519, "public key of 519" },
        { 80, 8, 641, "public key metadata" },
        { 88, 8, 25, "public key metadata of 25 bytes" },
        { 96, 8, 545, "vbmeta descriptors" },
        { 96, 8, 1, "descriptors and public key overlap" },
        { 104, 8, UINT64_MAX, "vbmeta descriptors" },
        { 104, 8, 97, "descriptors and public key overlap" },
        { 128, 1, 0x1b, "release string" },
        { 128, 1, 0xff, "release string" },
    };
    VbmetaContents contents = contents_with(*state, 1);
    size_t size;
    _cleanup_free_ uint8_t *good = make(&contents, &size);
    _cleanup_free_ uint8_t *data = malloc(size);

    assert_non_null(data);
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        memcpy(data, good, size);
        put_be(data + cases[i].at, cases[i].width, cases[i].value);
        assert_not_parsed(data, size, cases[i].words);
    }
    memcpy(data, good, size);
    put_be(data + 80, 8, 600);
    put_be(data + 88, 8, 1);
    assert_not_parsed(data, size, "public key and its metadata overlap");
    put_be(data + 80, 8, 95);
    assert_not_parsed(data, size, "descriptors and public key metadata overlap");
    memcpy(data, good, size);
    memset(data + 128, 'r', 48);
    assert_not_parsed(data, size, "release string");
}

static void a_structure_that_is_cut_off_is_refused(void **state)
{
    VbmetaContents contents = contents_with(*state, 1);
    size_t size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);

    for (size_t cut = 0; cut < size; cut++) {
        _cleanup_free_ uint8_t *copy = malloc(cut + 1);
        Vbmeta vbmeta;

        assert_non_null(copy);
        memcpy(copy, data, cut);
        assert_true(vbmeta_parse(copy, cut, &vbmeta, NULL) < 0);
    }
}

static void bytes_behind_it_are_not_its_own(void **state)
{
    VbmetaContents contents = contents_with(*state, 1);
    size_t size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);
    static uint8_t partition[1 << 17];

    memset(partition, 0xff, sizeof(partition));
    memcpy(partition, data, size);
    Vbmeta vbmeta = parse(partition, sizeof(partition));
    assert_int_equal(vbmeta.data.size, size);
    assert_int_equal(vbmeta_verify(&vbmeta, NULL, NULL), 0);
}

static void assert_not_made(const VbmetaContents *contents, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t *data = NULL;
    size_t size;

    assert_true(vbmeta_make(contents, &data, &size, &error) < 0);
    assert_null(data);
    assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void a_key_of_another_size_is_refused(void **state)
{
    const Fixture *fixture = *state;
    VbmetaContents contents = contents_with(fixture, 2);

    contents.key = fixture->keys[0];
    assert_not_made(&contents, "takes a key of 4096 bits, not of 2048");
    contents.key = NULL;
    assert_not_made(&contents, "SHA256_RSA4096 needs a key");
    contents = contents_with(fixture, 0);
    contents.key = fixture->keys[0];
    assert_not_made(&contents, "takes no key");
    assert_ptr_equal(vbmeta_algorithm_find_bits(8192), vbmeta_algorithm_find(3));
    assert_ptr_equal(vbmeta_algorithm_find_name("SHA512_RSA8192"), vbmeta_algorithm_find(6));
    assert_null(vbmeta_algorithm_find_bits(3072));
    assert_null(vbmeta_algorithm_find_bits(0));
    assert_null(vbmeta_algorithm_find_name("SHA256_RSA3072"));
    assert_null(vbmeta_algorithm_find(7));
}

/* The descriptor of an unknown tag with @size bytes in all. */
static AvbBytes make_filling(uint8_t *bytes, size_t size)
{
    memset(bytes, 0, size);
    put_be(bytes, 8, 99);
    put_be(bytes + 8, 8, size - 16);
    return (AvbBytes){ bytes, size };
}

static void one_has_64_kib_and_not_a_block_more(void **state)
{
    VbmetaContents contents = contents_with(*state, 0);
    static uint8_t bytes[VBMETA_SIZE_MAX + 64];
    uint8_t *data = NULL;
    size_t size;

    contents.descriptors = make_filling(bytes, VBMETA_SIZE_MAX - 256);
    data = make(&contents, &size);
    assert_int_equal(size, VBMETA_SIZE_MAX);
    assert_int_equal(parse(data, size).descriptors.size, VBMETA_SIZE_MAX - 256);
    free(data);
    memset(bytes, 0, 256);
    memcpy(bytes, "AVB0\0\0\0\x01", 8);
    put_be(bytes + 20, 8, VBMETA_SIZE_MAX - 256);
    parse(bytes, sizeof(bytes));
    put_be(bytes + 20, 8, VBMETA_SIZE_MAX - 256 + 64);
    assert_not_parsed(bytes, sizeof(bytes), "at most 65536");
    contents.descriptors = make_filling(bytes, VBMETA_SIZE_MAX - 256 + 8);
    assert_not_made(&contents, "has 65600; boot loaders take 65536");
    contents = contents_with(*state, 1);
    contents.descriptors = make_filling(bytes, VBMETA_SIZE_MAX - 256 - 320 - 520);
    free(make(&contents, &size));
    assert_int_equal(size, VBMETA_SIZE_MAX);
}

static void a_release_has_47_bytes_and_not_one_more(void **state)
{
    VbmetaContents contents = contents_with(*state, 0);
    char release[] = RELEASE;
    size_t size;

    release[47] = '\0';
    contents.release = release;
    _cleanup_free_ uint8_t *data = make(&contents, &size);
    assert_string_equal(parse(data, size).release, release);
    contents.release = RELEASE;
    assert_int_equal(strlen(RELEASE), 48);
    assert_not_made(&contents, "at most 47 bytes");
    contents.release = "a\nb";
    assert_not_made(&contents, "printable text");
}

static void the_version_is_what_the_contents_need(void **state)
{
    VbmetaContents contents = contents_with(*state, 0);
    static const uint8_t digest[32] = { 0 };
    AvbDescriptor chain = { .tag = AVB_CHAIN_PARTITION,
                            .chain_partition = { 1, avb_bytes_from_string("vendor"), { 0 }, 1 } };
    AvbDescriptor hash = { .tag = AVB_HASH,
                           .hash = { .algorithm = "sha256",
                                     .name = avb_bytes_from_string("boot"),
                                     .digest = { digest, 32 } } };
    static const struct {
        uint32_t hash_flags, chain_flags, location, least, expected;
    } cases[] = {
        { 0, 0, 0, 0, 0 }, { 1, 0, 0, 0, 1 }, { 0, 0, 1, 0, 2 },
        { 0, 1, 0, 0, 3 }, { 1, 0, 0, 2, 2 },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        uint8_t bytes[1024];
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));
        size_t size;

        hash.hash.flags = cases[i].hash_flags;
        chain.chain_partition.flags = cases[i].chain_flags;
        assert_int_equal(avb_descriptor_encode(&chain, &writer, NULL), 0);
        assert_int_equal(avb_descriptor_encode(&hash, &writer, NULL), 0);
        contents.descriptors = (AvbBytes){ bytes, writer.size };
        contents.rollback_index_location = cases[i].location;
        contents.version_minor = cases[i].least;
        _cleanup_free_ uint8_t *data = make(&contents, &size);
        assert_int_equal(parse(data, size).version_minor, cases[i].expected);
    }
}

static void one_is_found_where_the_footer_says(void **state)
{
    VbmetaContents contents = contents_with(*state, 0);
    static uint8_t image[1 << 17];
    size_t size, loaded_size;
    _cleanup_free_ uint8_t *data = make(&contents, &size);
    _cleanup_free_ uint8_t *loaded = NULL;
    uint64_t offset;
    ByteSource source = byte_source_from_memory(image, sizeof(image));

    memcpy(image + 8192, data, size);
    avb_footer_encode(&(AvbFooter){ 8192, 8192, size }, image + sizeof(image) - AVB_FOOTER_SIZE);
    assert_int_equal(vbmeta_load(&source, &loaded, &loaded_size, &offset, NULL), 0);
    assert_int_equal(offset, 8192);
    assert_int_equal(loaded_size, size);
    assert_memory_equal(loaded, data, size);
    free(TAKE_PTR(loaded));

    _cleanup_(error_clear) Error error = ERROR_INIT;
    avb_footer_encode(&(AvbFooter){ 0, 0, VBMETA_SIZE_MAX + 1 },
                      image + sizeof(image) - AVB_FOOTER_SIZE);
    assert_true(vbmeta_load(&source, &loaded, &loaded_size, &offset, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "65537 bytes of vbmeta"));

    memset(image + sizeof(image) - AVB_FOOTER_SIZE, 0, AVB_FOOTER_SIZE);
    memcpy(image, data, size);
    assert_int_equal(vbmeta_load(&source, &loaded, &loaded_size, &offset, NULL), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(loaded_size, VBMETA_SIZE_MAX);
    assert_int_equal(parse(loaded, loaded_size).data.size, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_lies_as_the_format_has_it),
        cmocka_unit_test(every_algorithm_signs_and_verifies),
        cmocka_unit_test(an_unsigned_one_is_read_and_never_verified),
        cmocka_unit_test(another_key_is_told_from_an_altered_structure),
        cmocka_unit_test(no_bit_can_change),
        cmocka_unit_test(fields_out_of_range_are_refused),
        cmocka_unit_test(a_structure_that_is_cut_off_is_refused),
        cmocka_unit_test(bytes_behind_it_are_not_its_own),
        cmocka_unit_test(a_key_of_another_size_is_refused),
        cmocka_unit_test(one_has_64_kib_and_not_a_block_more),
        cmocka_unit_test(a_release_has_47_bytes_and_not_one_more),
        cmocka_unit_test(the_version_is_what_the_contents_need),
        cmocka_unit_test(one_is_found_where_the_footer_says),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
