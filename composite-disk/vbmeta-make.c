/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/vbmeta-make.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta-header.h"

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
                       VbmetaHeader *ret_header,
                       Error *error)
{
    const VbmetaAlgorithm *algorithm = contents->algorithm;
    size_t descriptors_size = contents->descriptors.size;
    VbmetaHeader header = {
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

static int sign(const VbmetaContents *contents,
                const VbmetaHeader *header,
                uint8_t *data,
                size_t size,
                Error *error)
{
    const VbmetaAlgorithm *algorithm = contents->algorithm;
    uint8_t signature[SIGNATURE_SIZE_MAX];
    uint8_t *authentication = data + VBMETA_HEADER_SIZE;
    size_t signed_size, signature_size;
    _cleanup_free_ uint8_t *bytes =
        vbmeta_dup_signed_bytes(data, size, (size_t)header->authentication_size, &signed_size);

    if (!bytes || vbmeta_hash(algorithm, bytes, signed_size, authentication) < 0)
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
    VbmetaHeader header;

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
    vbmeta_header_encode(&header, data);
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
