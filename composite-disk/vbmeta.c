/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/vbmeta.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-public-key.h"

#define RESERVED_SIZE 80

static const uint8_t magic[4] = { 'A', 'V', 'B', '0' };

static const VbmetaAlgorithm algorithms[] = {
    { 0, "NONE", 0, 0, 0 },
    { 1, "SHA256_RSA2048", 2048, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 2, "SHA256_RSA4096", 4096, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 3, "SHA256_RSA8192", 8192, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 4, "SHA512_RSA2048", 2048, SIGNATURE_RSA_PKCS1_SHA512, 64 },
    { 5, "SHA512_RSA4096", 4096, SIGNATURE_RSA_PKCS1_SHA512, 64 },
    { 6, "SHA512_RSA8192", 8192, SIGNATURE_RSA_PKCS1_SHA512, 64 },
};

/* The header's fields as they follow each other. */
typedef struct Region {
    uint64_t offset, size;
} Region;

typedef struct Header {
    uint32_t major, minor;
    uint64_t authentication_size, auxiliary_size;
    uint32_t algorithm;
    Region hash, signature, public_key, public_key_metadata, descriptors;
    uint64_t rollback_index;
    uint32_t flags, rollback_index_location;
    char release[VBMETA_RELEASE_SIZE];
} Header;

const VbmetaAlgorithm *vbmeta_algorithm_find(uint32_t type)
{
    return type < ELEMENTS_OF(algorithms) ? &algorithms[type] : NULL;
}

const VbmetaAlgorithm *vbmeta_algorithm_find_name(const char *name)
{
    for (size_t i = 0; i < ELEMENTS_OF(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    }
    return NULL;
}

const VbmetaAlgorithm *vbmeta_algorithm_find_bits(int key_bits)
{
    for (size_t i = 1; i < ELEMENTS_OF(algorithms); i++) {
        if ((int)algorithms[i].key_bits == key_bits)
            return &algorithms[i];
    }
    return NULL;
}

/* --- the header --- */

static void get_region(ByteReader *reader, Region *region)
{
    (void)byte_reader_get_be64(reader, &region->offset); /* the caller has seen to the size */
    (void)byte_reader_get_be64(reader, &region->size);
}

static void put_region(ByteWriter *writer, Region region)
{
    byte_writer_put_be64(writer, region.offset);
    byte_writer_put_be64(writer, region.size);
}

/* @bytes are VBMETA_HEADER_SIZE, which is more than what is read. */
static Header decode_header(const uint8_t *bytes)
{
    ByteReader reader = byte_reader(bytes + sizeof(magic), VBMETA_HEADER_SIZE - sizeof(magic));
    Header header = { 0 };

    (void)byte_reader_get_be32(&reader, &header.major);
    (void)byte_reader_get_be32(&reader, &header.minor);
    (void)byte_reader_get_be64(&reader, &header.authentication_size);
    (void)byte_reader_get_be64(&reader, &header.auxiliary_size);
    (void)byte_reader_get_be32(&reader, &header.algorithm);
    get_region(&reader, &header.hash);
    get_region(&reader, &header.signature);
    get_region(&reader, &header.public_key);
    get_region(&reader, &header.public_key_metadata);
    get_region(&reader, &header.descriptors);
    (void)byte_reader_get_be64(&reader, &header.rollback_index);
    (void)byte_reader_get_be32(&reader, &header.flags);
    (void)byte_reader_get_be32(&reader, &header.rollback_index_location);
    (void)byte_reader_get_bytes(&reader, header.release, sizeof(header.release));
    return header;
}

static void encode_header(const Header *header, uint8_t *bytes)
{
    ByteWriter writer = byte_writer(bytes, VBMETA_HEADER_SIZE);

    byte_writer_put_bytes(&writer, magic, sizeof(magic));
    byte_writer_put_be32(&writer, header->major);
    byte_writer_put_be32(&writer, header->minor);
    byte_writer_put_be64(&writer, header->authentication_size);
    byte_writer_put_be64(&writer, header->auxiliary_size);
    byte_writer_put_be32(&writer, header->algorithm);
    put_region(&writer, header->hash);
    put_region(&writer, header->signature);
    put_region(&writer, header->public_key);
    put_region(&writer, header->public_key_metadata);
    put_region(&writer, header->descriptors);
    byte_writer_put_be64(&writer, header->rollback_index);
    byte_writer_put_be32(&writer, header->flags);
    byte_writer_put_be32(&writer, header->rollback_index_location);
    byte_writer_put_bytes(&writer, header->release, sizeof(header->release));
    byte_writer_put_zeros(&writer, RESERVED_SIZE);
    assert(byte_writer_finish(&writer) == 0 && writer.size == VBMETA_HEADER_SIZE);
}

/* --- reading --- */

static int check_version(const Header *header, Error *error)
{
    if (header->major != VBMETA_VERSION_MAJOR || header->minor > VBMETA_VERSION_MINOR_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure needs version %" PRIu32 ".%" PRIu32
                         "; known are %d.0 to %d.%d",
                         header->major, header->minor, VBMETA_VERSION_MAJOR, VBMETA_VERSION_MAJOR,
                         VBMETA_VERSION_MINOR_MAX);
    return 0;
}

/* The bytes of both blocks and the header; refused unless they are there. */
static int check_blocks(const Header *header, size_t available, size_t *ret_size, Error *error)
{
    uint64_t size;

    if (header->authentication_size % VBMETA_BLOCK_ALIGNMENT != 0 ||
        header->auxiliary_size % VBMETA_BLOCK_ALIGNMENT != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta blocks of %" PRIu64 " and %" PRIu64
                         " bytes, which are not both multiples of %d",
                         header->authentication_size, header->auxiliary_size,
                         VBMETA_BLOCK_ALIGNMENT);
    if (ckd_add(&size, header->authentication_size, header->auxiliary_size) ||
        ckd_add(&size, size, VBMETA_HEADER_SIZE) || size > VBMETA_SIZE_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta blocks of %" PRIu64 " and %" PRIu64
                         " bytes; with the header at most %d are taken",
                         header->authentication_size, header->auxiliary_size, VBMETA_SIZE_MAX);
    if (size > available)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a vbmeta structure of %" PRIu64 " bytes, of which there are %zu", size,
                         available);
    *ret_size = (size_t)size;
    return 0;
}

static int take_region(
    AvbBytes block, Region region, const char *what, AvbBytes *ret_bytes, Error *error)
{
    if (region.offset > block.size || region.size > block.size - region.offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta %s of %" PRIu64 " bytes at offset %" PRIu64
                         " is not inside its block of %zu bytes",
                         what, region.size, region.offset, block.size);
    *ret_bytes = (AvbBytes){ block.data + region.offset, (size_t)region.size };
    return 0;
}

static int check_apart(AvbBytes a, AvbBytes b, const char *what, Error *error)
{
    if (a.size > 0 && b.size > 0 && a.data < b.data + b.size && b.data < a.data + a.size)
        return error_set(error, ERROR_IMAGE_INVALID, "the vbmeta %s overlap", what);
    return 0;
}

static int take_regions(const Header *header, Vbmeta *vbmeta, Error *error)
{
    AvbBytes authentication = { vbmeta->data.data + VBMETA_HEADER_SIZE,
                                (size_t)header->authentication_size };
    AvbBytes auxiliary = { authentication.data + authentication.size,
                           (size_t)header->auxiliary_size };

    int r = take_region(authentication, header->hash, "hash", &vbmeta->hash, error);
    if (r >= 0)
        r = take_region(authentication, header->signature, "signature", &vbmeta->signature, error);
    if (r >= 0)
        r = take_region(auxiliary, header->public_key, "public key", &vbmeta->public_key, error);
    if (r >= 0)
        r = take_region(auxiliary, header->public_key_metadata, "public key metadata",
                        &vbmeta->public_key_metadata, error);
    if (r >= 0)
        r = take_region(auxiliary, header->descriptors, "descriptors", &vbmeta->descriptors, error);
    if (r >= 0)
        r = check_apart(vbmeta->hash, vbmeta->signature, "hash and signature", error);
    if (r >= 0)
        r = check_apart(vbmeta->descriptors, vbmeta->public_key, "descriptors and public key",
                        error);
    if (r >= 0)
        r = check_apart(vbmeta->descriptors, vbmeta->public_key_metadata,
                        "descriptors and public key metadata", error);
    if (r >= 0)
        r = check_apart(vbmeta->public_key, vbmeta->public_key_metadata,
                        "public key and its metadata", error);
    return r;
}

static int check_algorithm(const Vbmeta *vbmeta, Error *error)
{
    const VbmetaAlgorithm *algorithm = vbmeta->algorithm;

    if (vbmeta->hash.size != algorithm->hash_size ||
        vbmeta->signature.size != algorithm->key_bits / 8 ||
        (algorithm->key_bits > 0 &&
         vbmeta->public_key.size != avb_public_key_get_size(algorithm->key_bits)))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta algorithm %s with a hash of %zu, a signature of %zu and a public "
                         "key of %zu bytes",
                         algorithm->name, vbmeta->hash.size, vbmeta->signature.size,
                         vbmeta->public_key.size);
    return 0;
}

static int check_release(const char *release, Error *error)
{
    if (!memchr(release, '\0', VBMETA_RELEASE_SIZE) || !text_has_no_control(release) ||
        !text_is_utf8(release, strlen(release)))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta release string is no printable text that ends in its %d bytes",
                         VBMETA_RELEASE_SIZE);
    return 0;
}

int vbmeta_parse(const uint8_t *data, size_t size, Vbmeta *ret_vbmeta, Error *error)
{
    Vbmeta vbmeta = { 0 };
    size_t own_size;

    if (size < VBMETA_HEADER_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID, "%zu bytes are too few for a vbmeta structure",
                         size);
    if (memcmp(data, magic, sizeof(magic)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "no vbmeta structure: it does not begin with 'AVB0'");
    Header header = decode_header(data);
    int r = check_version(&header, error);
    if (r >= 0)
        r = check_blocks(&header, size, &own_size, error);
    if (r < 0)
        return r;

    vbmeta.data = (AvbBytes){ data, own_size };
    vbmeta.algorithm = vbmeta_algorithm_find(header.algorithm);
    if (!vbmeta.algorithm)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta algorithm %" PRIu32 " is not known",
                         header.algorithm);
    r = take_regions(&header, &vbmeta, error);
    if (r >= 0)
        r = check_algorithm(&vbmeta, error);
    if (r >= 0)
        r = check_release(header.release, error);
    if (r < 0)
        return r;
    vbmeta.version_minor = header.minor;
    vbmeta.rollback_index = header.rollback_index;
    vbmeta.rollback_index_location = header.rollback_index_location;
    vbmeta.flags = header.flags;
    memcpy(vbmeta.release, header.release, sizeof(vbmeta.release));
    *ret_vbmeta = vbmeta;
    return 0;
}

/* --- hash and signature --- */

/* What both are of: the two parts around the authentication block. */
static uint8_t *dup_signed_bytes(const uint8_t *data,
                                 size_t size,
                                 size_t authentication_size,
                                 size_t *ret_size)
{
    size_t auxiliary_size = size - VBMETA_HEADER_SIZE - authentication_size;
    uint8_t *bytes = malloc(VBMETA_HEADER_SIZE + auxiliary_size);

    if (!bytes)
        return NULL;
    memcpy(bytes, data, VBMETA_HEADER_SIZE);
    memcpy(bytes + VBMETA_HEADER_SIZE, data + size - auxiliary_size, auxiliary_size);
    *ret_size = VBMETA_HEADER_SIZE + auxiliary_size;
    return bytes;
}

static int hash_bytes(const VbmetaAlgorithm *algorithm,
                      const uint8_t *bytes,
                      size_t size,
                      uint8_t *ret_hash)
{
    const EVP_MD *hash = algorithm->hash_size == 64 ? EVP_sha512() : EVP_sha256();

    return EVP_Digest(bytes, size, ret_hash, NULL, hash, NULL) == 1 ? 0 : -ENOMEM;
}

int vbmeta_verify(const Vbmeta *vbmeta, const AvbBytes *trusted, Error *error)
{
    const VbmetaAlgorithm *algorithm = vbmeta->algorithm;
    _cleanup_free_ uint8_t *bytes = NULL, *key = NULL;
    uint8_t hash[EVP_MAX_MD_SIZE];
    size_t size, key_size;

    if (algorithm->key_bits == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the vbmeta structure is not signed");
    if (trusted && !avb_bytes_equal(*trusted, vbmeta->public_key))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure is signed with another key");

    size_t authentication_size =
        (size_t)decode_header(vbmeta->data.data).authentication_size; /* was checked */
    bytes = dup_signed_bytes(vbmeta->data.data, vbmeta->data.size, authentication_size, &size);
    if (!bytes || hash_bytes(algorithm, bytes, size, hash) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (CRYPTO_memcmp(hash, vbmeta->hash.data, vbmeta->hash.size) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure was altered: its hash is another");
    int r = avb_public_key_to_der(vbmeta->public_key.data, vbmeta->public_key.size, &key, &key_size,
                                  error);
    if (r < 0)
        return r;
    return signature_verify(key, key_size, signature_algorithm_find(algorithm->signature), bytes,
                            size, vbmeta->signature.data, vbmeta->signature.size, error);
}

/* --- making --- */

static int find_version(const VbmetaContents *contents, uint32_t *ret_minor, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(contents->descriptors);
    AvbDescriptor descriptor;
    uint32_t minor = contents->version_minor;
    int r;

    if (contents->rollback_index_location > 0 && minor < 2)
        minor = 2;
    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        uint32_t needed = avb_descriptor_get_minor_version(&descriptor);
        minor = needed > minor ? needed : minor;
    }
    *ret_minor = minor;
    return r;
}

static int check_key_fits(const VbmetaContents *contents, AvbPublicKey *ret_key, Error *error)
{
    const VbmetaAlgorithm *algorithm = contents->algorithm;

    if (!contents->key && algorithm->key_bits > 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the algorithm %s needs a key",
                         algorithm->name);
    if (!contents->key)
        return 0;
    if (algorithm->key_bits == 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the algorithm NONE does not sign: it takes no key");
    int r = avb_public_key_from_key(contents->key->key, ret_key, error);
    if (r < 0)
        return r;
    if (ret_key->size != avb_public_key_get_size(algorithm->key_bits))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the algorithm %s takes a key of %u bits, not of %d", algorithm->name,
                         algorithm->key_bits, EVP_PKEY_get_bits(contents->key->key));
    return 0;
}

static uint64_t round_block(uint64_t size)
{
    return (size + VBMETA_BLOCK_ALIGNMENT - 1) / VBMETA_BLOCK_ALIGNMENT * VBMETA_BLOCK_ALIGNMENT;
}

static int fill_header(const VbmetaContents *contents,
                       size_t public_key_size,
                       Header *ret_header,
                       Error *error)
{
    const VbmetaAlgorithm *algorithm = contents->algorithm;
    size_t descriptors_size = contents->descriptors.size;
    Header header = {
        .major = VBMETA_VERSION_MAJOR,
        .algorithm = algorithm->type,
        .hash = { 0, algorithm->hash_size },
        .signature = { algorithm->hash_size, algorithm->key_bits / 8 },
        .public_key = { descriptors_size, public_key_size },
        .public_key_metadata = { descriptors_size + public_key_size, 0 },
        .descriptors = { 0, descriptors_size },
        .rollback_index = contents->rollback_index,
        .flags = contents->flags,
        .rollback_index_location = contents->rollback_index_location,
    };
    size_t release_size = strlen(contents->release);

    if (release_size >= sizeof(header.release) || !text_has_no_control(contents->release))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a vbmeta release string is at most %zu bytes of printable text, not '%s'",
                         sizeof(header.release) - 1, contents->release);
    memcpy(header.release, contents->release, release_size);
    header.authentication_size = round_block(algorithm->hash_size + algorithm->key_bits / 8);
    header.auxiliary_size = round_block(descriptors_size + public_key_size);
    uint64_t size = VBMETA_HEADER_SIZE + header.authentication_size + header.auxiliary_size;
    if (size > VBMETA_SIZE_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a vbmeta structure with %zu bytes of descriptors has %" PRIu64
                         "; boot loaders take %d",
                         descriptors_size, size, VBMETA_SIZE_MAX);
    *ret_header = header;
    return find_version(contents, &ret_header->minor, error);
}

static int sign(
    const VbmetaContents *contents, const Header *header, uint8_t *data, size_t size, Error *error)
{
    const VbmetaAlgorithm *algorithm = contents->algorithm;
    uint8_t signature[SIGNATURE_SIZE_MAX];
    uint8_t *authentication = data + VBMETA_HEADER_SIZE;
    size_t signed_size, signature_size;
    _cleanup_free_ uint8_t *bytes =
        dup_signed_bytes(data, size, (size_t)header->authentication_size, &signed_size);

    if (!bytes || hash_bytes(algorithm, bytes, signed_size, authentication) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = signing_key_sign(contents->key, signature_algorithm_find(algorithm->signature), bytes,
                             signed_size, signature, &signature_size, error);
    if (r < 0)
        return r;
    assert(signature_size == header->signature.size);
    memcpy(authentication + header->signature.offset, signature, signature_size);
    return 0;
}

int vbmeta_make(const VbmetaContents *contents, uint8_t **ret_data, size_t *ret_size, Error *error)
{
    AvbPublicKey public_key = { .size = 0 };
    Header header;

    int r = check_key_fits(contents, &public_key, error);
    if (r >= 0)
        r = fill_header(contents, public_key.size, &header, error);
    if (r < 0)
        return r;

    size_t auxiliary = VBMETA_HEADER_SIZE + (size_t)header.authentication_size;
    size_t size = auxiliary + (size_t)header.auxiliary_size;
    _cleanup_free_ uint8_t *data = calloc(1, size);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    encode_header(&header, data);
    if (contents->descriptors.size > 0)
        memcpy(data + auxiliary, contents->descriptors.data, contents->descriptors.size);
    memcpy(data + auxiliary + contents->descriptors.size, public_key.bytes, public_key.size);
    if (contents->key) {
        r = sign(contents, &header, data, size, error);
        if (r < 0)
            return r;
    }
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}

/* --- in an image --- */

int vbmeta_load(const ByteSource *source,
                uint8_t **ret_data,
                size_t *ret_size,
                uint64_t *ret_offset,
                Error *error)
{
    AvbFooter footer = { .vbmeta_size = source->size };

    int r = avb_footer_read(source, &footer, error);
    if (r < 0)
        return r;
    if (r > 0 && footer.vbmeta_size > VBMETA_SIZE_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an AVB footer with %" PRIu64 " bytes of vbmeta; at most %d are taken",
                         footer.vbmeta_size, VBMETA_SIZE_MAX);
    /* A partition can be larger than what is in it. */
    size_t size =
        footer.vbmeta_size < VBMETA_SIZE_MAX ? (size_t)footer.vbmeta_size : VBMETA_SIZE_MAX;
    _cleanup_free_ uint8_t *data = malloc(size + 1);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = byte_source_read(source, footer.vbmeta_offset, data, size);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r,
                               "cannot read vbmeta at offset %" PRIu64, footer.vbmeta_offset);
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    *ret_offset = footer.vbmeta_offset;
    return 0;
}
