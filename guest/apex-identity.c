/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/apex-identity.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "composite-disk/apex-manifest.h"
#include "composite-disk/avb-descriptor.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/merkle-tree.h"
#include "composite-disk/vbmeta.h"
#include "composite-disk/zip-reader.h"
#include "composite-disk/zip-sections.h"
#include "composite-disk/zip-stream.h"

#define IMAGE_NAME      "apex_payload.img"
#define PUBLIC_KEY_NAME "apex_pubkey"
#define HASH_ALGORITHM  "sha256"

/* --- what the archive has --- */

static int find_entry(const ZipReader *reader,
                      const char *name,
                      const ZipEntry **ret_entry,
                      Error *error)
{
    *ret_entry = zip_reader_find(reader, name);
    return *ret_entry ? 0
                      : error_set(error, ERROR_IMAGE_INVALID, "the APEX has no entry '%s'", name);
}

static int read_entry(const ZipReader *reader,
                      const char *name,
                      size_t max,
                      uint8_t **ret_data,
                      size_t *ret_size,
                      Error *error)
{
    const ZipEntry *entry;

    int r = find_entry(reader, name, &entry, error);
    return r < 0 ? r : zip_read_entry(reader, entry, max, ret_data, ret_size, error);
}

static int read_manifest(const ZipReader *reader, ApexIdentity *identity, Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    ApexManifest manifest;
    size_t size;

    int r = read_entry(reader, APEX_MANIFEST_NAME, APEX_MANIFEST_MAX, &data, &size, error);
    if (r >= 0)
        r = apex_manifest_decode(data, size, &manifest, error);
    if (r < 0)
        return r;
    _Static_assert(sizeof(manifest.name) <= sizeof(identity->name), "any name fits");
    _Static_assert(APEX_HASH_SIZE == SHA256_DIGEST_LENGTH, "of SHA-256");
    memcpy(identity->name, manifest.name, sizeof(manifest.name));
    identity->version = manifest.version;
    if (!SHA256(data, size, identity->manifest_hash))
        return error_set(error, ERROR_FAILED, "cannot hash the manifest");
    return 0;
}

/* A loop device shows it as it is there. */
static int find_image(const ZipReader *reader,
                      ByteSource *ret_image,
                      ApexIdentity *identity,
                      Error *error)
{
    const ZipEntry *entry;

    int r = find_entry(reader, IMAGE_NAME, &entry, error);
    if (r < 0)
        return r;
    if (entry->method != ZIP_STORED || entry->data_offset % MERKLE_BLOCK_SIZE != 0 ||
        entry->size % MERKLE_BLOCK_SIZE != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "'" IMAGE_NAME "' is compressed, or not made of blocks of %d bytes: "
                         "%" PRIu64 " bytes at offset %" PRIu64,
                         MERKLE_BLOCK_SIZE, entry->size, entry->data_offset);
    r = byte_source_slice(&reader->source, entry->data_offset, entry->size, ret_image);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read '" IMAGE_NAME "'");
    identity->image_offset = entry->data_offset;
    identity->image_size = entry->size;
    return 0;
}

/* --- what is signed --- */

/* The structure is read once: whoever has made the partition may change it under us. */
static int read_vbmeta(const ByteSource *image,
                       uint8_t **ret_data,
                       Vbmeta *ret_vbmeta,
                       AvbFooter *ret_footer,
                       Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    ByteSource part;

    int r = avb_footer_read(image, ret_footer, error);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "'" IMAGE_NAME "' has no AVB footer");
    r = byte_source_slice(image, ret_footer->vbmeta_offset, ret_footer->vbmeta_size, &part);
    if (r >= 0)
        r = byte_source_read_all(&part, VBMETA_SIZE_MAX, &data);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read vbmeta");
    r = vbmeta_parse(data, (size_t)part.size, ret_vbmeta, error);
    if (r < 0)
        return r;
    *ret_data = TAKE_PTR(data);
    return 0;
}

static int check_signature(const ZipReader *reader,
                           const Vbmeta *vbmeta,
                           ApexIdentity *identity,
                           Error *error)
{
    _cleanup_free_ uint8_t *key = NULL;
    size_t size;

    int r = read_entry(reader, PUBLIC_KEY_NAME, AVB_PUBLIC_KEY_SIZE_MAX, &key, &size, error);
    if (r >= 0)
        r = vbmeta_verify(vbmeta, &(AvbBytes){ key, size }, error);
    if (r < 0)
        return r;
    /* A flag would tell a boot loader not to look. */
    if (vbmeta->flags != 0)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta has flags, %#" PRIx32, vbmeta->flags);
    _Static_assert(IDENTITY_HASH_SIZE == SHA512_DIGEST_LENGTH, "of SHA-512");
    if (!SHA512(key, size, identity->public_key_hash))
        return error_set(error, ERROR_FAILED, "cannot hash the public key");
    return 0;
}

static int find_tree(const Vbmeta *vbmeta, AvbHashtree *ret_tree, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    size_t n_trees = 0;
    int r;

    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        /* Nobody here would look into another vbmeta. */
        if (descriptor.tag == AVB_CHAIN_PARTITION)
            return error_set(error, ERROR_IMAGE_INVALID, "vbmeta has a chain partition");
        if (descriptor.tag == AVB_HASHTREE) {
            *ret_tree = descriptor.hashtree;
            n_trees++;
        }
    }
    if (r < 0)
        return r;
    if (n_trees != 1)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta has %zu hash trees, and an APEX has one", n_trees);
    return 0;
}

static int check_tree(const AvbHashtree *tree, const AvbFooter *footer, Error *error)
{
    MerkleGeometry geometry = { 0 };

    if (strcmp(tree->algorithm, HASH_ALGORITHM) != 0 || tree->digest.size != MERKLE_HASH_SIZE ||
        tree->data_block_size != MERKLE_BLOCK_SIZE || tree->hash_block_size != MERKLE_BLOCK_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta has a hash tree that is not SHA-256 over blocks of %d bytes",
                         MERKLE_BLOCK_SIZE);
    /* Sizes and offsets, which are below INT64_MAX, were checked against each other. */
    if (merkle_geometry_init(&geometry, tree->image_size) < 0 ||
        tree->tree_size != geometry.tree_size ||
        tree->tree_offset + tree->tree_size > footer->vbmeta_offset)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a hash tree of %" PRIu64 " bytes at offset %" PRIu64
                         " before vbmeta at %" PRIu64 "; %" PRIu64 " bytes of data have one of "
                         "%" PRIu64,
                         tree->tree_size, tree->tree_offset, footer->vbmeta_offset,
                         tree->image_size, geometry.tree_size);
    return 0;
}

static void keep_tree(const AvbHashtree *tree, ApexIdentity *identity)
{
    _Static_assert(APEX_HASH_SIZE == MERKLE_HASH_SIZE, "a root is a hash");
    _Static_assert(APEX_SALT_MAX == AVB_SALT_SIZE_MAX, "any salt fits");
    identity->n_data_blocks = tree->image_size / MERKLE_BLOCK_SIZE;
    identity->tree_block = tree->tree_offset / MERKLE_BLOCK_SIZE;
    memcpy(identity->root, tree->digest.data, tree->digest.size);
    memcpy(identity->salt, tree->salt.data, tree->salt.size);
    identity->salt_size = tree->salt.size;
}

int apex_identity_verify(const ByteSource *partition, ApexIdentity *ret_identity, Error *error)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    _cleanup_free_ uint8_t *data = NULL;
    ApexIdentity identity = { 0 };
    ByteSource archive, image;
    AvbHashtree tree = { 0 };
    AvbFooter footer;
    Vbmeta vbmeta;

    int r = zip_cut_tail(partition, &archive, error);
    if (r >= 0)
        r = zip_reader_new(&archive, &reader, error);
    if (r >= 0)
        r = read_manifest(reader, &identity, error);
    if (r >= 0)
        r = find_image(reader, &image, &identity, error);
    if (r >= 0)
        r = read_vbmeta(&image, &data, &vbmeta, &footer, error);
    if (r >= 0)
        r = check_signature(reader, &vbmeta, &identity, error);
    if (r >= 0)
        r = find_tree(&vbmeta, &tree, error);
    if (r >= 0)
        r = check_tree(&tree, &footer, error);
    if (r < 0)
        return r;
    keep_tree(&tree, &identity);
    *ret_identity = identity;
    return 0;
}
