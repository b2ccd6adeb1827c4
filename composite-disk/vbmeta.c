/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/vbmeta.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta-header.h"

static const VbmetaAlgorithm algorithms[] = {
    { 0, "NONE", 0, 0, 0 },
    { 1, "SHA256_RSA2048", 2048, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 2, "SHA256_RSA4096", 4096, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 3, "SHA256_RSA8192", 8192, SIGNATURE_RSA_PKCS1_SHA256, 32 },
    { 4, "SHA512_RSA2048", 2048, SIGNATURE_RSA_PKCS1_SHA512, 64 },
    { 5, "SHA512_RSA4096", 4096, SIGNATURE_RSA_PKCS1_SHA512, 64 },
    { 6, "SHA512_RSA8192", 8192, SIGNATURE_RSA_PKCS1_SHA512, 64 },
};

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

/* --- reading --- */

static int check_version(const VbmetaHeader *header, Error *error)
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
static int check_blocks(const VbmetaHeader *header,
                        size_t available,
                        size_t *ret_size,
                        Error *error)
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
    AvbBytes block, VbmetaRegion region, const char *what, AvbBytes *ret_bytes, Error *error)
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

static int take_regions(const VbmetaHeader *header, Vbmeta *vbmeta, Error *error)
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
    if (memcmp(data, VBMETA_MAGIC, VBMETA_MAGIC_SIZE) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "no vbmeta structure: it does not begin with 'AVB0'");
    VbmetaHeader header = vbmeta_header_decode(data);
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
