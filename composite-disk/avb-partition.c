/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-partition.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/merkle-builder.h"

#define BUFFER_SIZE (UINT64_C(256) << 10)

DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);

/* --- hashes --- */

static int hash_image(const EVP_MD *algorithm,
                      AvbBytes salt,
                      const ByteSource *image,
                      const Progress *progress,
                      uint8_t *ret_digest,
                      Error *error)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    _cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);

    if (!context || !buffer || EVP_DigestInit_ex(context, algorithm, NULL) != 1 ||
        EVP_DigestUpdate(context, salt.data, salt.size) != 1)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (uint64_t offset = 0; offset < image->size;) {
        size_t size =
            image->size - offset < BUFFER_SIZE ? (size_t)(image->size - offset) : BUFFER_SIZE;

        progress_report(progress, offset, image->size);
        int r = byte_source_read(image, offset, buffer, size);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r,
                                   "cannot read the image at offset %" PRIu64, offset);
        if (EVP_DigestUpdate(context, buffer, size) != 1)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        offset += size;
    }
    if (EVP_DigestFinal_ex(context, ret_digest, NULL) != 1)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return 0;
}

int avb_partition_make_hash(const ByteSource *image,
                            const char *name,
                            AvbBytes salt,
                            const Progress *progress,
                            uint8_t ret_digest[static AVB_DIGEST_SIZE_MAX],
                            AvbHash *ret_hash,
                            Error *error)
{
    int r = hash_image(EVP_sha256(), salt, image, progress, ret_digest, error);
    if (r < 0)
        return r;
    *ret_hash = (AvbHash){
        .image_size = image->size,
        .algorithm = "sha256",
        .name = avb_bytes_from_string(name),
        .salt = salt,
        .digest = { ret_digest, avb_hash_algorithm_get_size("sha256") },
    };
    return 0;
}

static int refuse_short(const ByteSource *image, uint64_t end, AvbBytes name, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID,
                     "the image of partition '%.*s' has %" PRIu64 " bytes; it needs %" PRIu64,
                     (int)name.size, (const char *)name.data, image->size, end);
}

int avb_partition_verify_hash(const AvbHash *hash,
                              const ByteSource *image,
                              const Progress *progress,
                              Error *error)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    const EVP_MD *algorithm = NULL;
    ByteSource part;

    if (strcmp(hash->algorithm, "sha256") == 0)
        algorithm = EVP_sha256();
    else if (strcmp(hash->algorithm, "sha512") == 0)
        algorithm = EVP_sha512();
    if (!algorithm || hash->digest.size == 0)
        return error_set(error, ERROR_NOT_SUPPORTED, "partition '%.*s' cannot be verified: %s",
                         (int)hash->name.size, (const char *)hash->name.data,
                         algorithm ? "its digest is kept by the device"
                                   : "its hash is neither sha256 nor sha512");
    if (byte_source_slice(image, 0, hash->image_size, &part) < 0)
        return refuse_short(image, hash->image_size, hash->name, error);
    int r = hash_image(algorithm, hash->salt, &part, progress, digest, error);
    if (r < 0)
        return r;
    if (memcmp(digest, hash->digest.data, hash->digest.size) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the image of partition '%.*s' was altered: its hash is another",
                         (int)hash->name.size, (const char *)hash->name.data);
    return 0;
}

/* --- hash trees --- */

/* Compares the tree that is made with the one in the image. The lowest level lies last. */
typedef struct Comparison {
    ByteSource tree;
    uint64_t lowest_level;           /* where it begins */
    uint64_t first, first_in_lowest; /* byte that is another; the size of the tree: none */
} Comparison;

static void note_difference(Comparison *comparison, uint64_t offset)
{
    if (offset < comparison->first)
        comparison->first = offset;
    if (offset >= comparison->lowest_level && offset < comparison->first_in_lowest)
        comparison->first_in_lowest = offset;
}

static int compare(void *userdata, uint64_t offset, const void *bytes, size_t size)
{
    Comparison *comparison = userdata;
    const uint8_t *expected = bytes;
    uint8_t there[MERKLE_BLOCK_SIZE];

    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof(there) ? size - done : sizeof(there);
        int r = byte_source_read(&comparison->tree, offset + done, there, part);
        if (r < 0)
            return r;
        for (size_t i = 0; memcmp(there, expected + done, part) != 0 && i < part; i++) {
            if (there[i] != expected[done + i]) {
                note_difference(comparison, offset + done + i);
                break;
            }
        }
        done += part;
    }
    return 0;
}

static int check_tree_kind(const AvbHashtree *tree, const MerkleGeometry *geometry, Error *error)
{
    if (strcmp(tree->algorithm, "sha256") != 0 || tree->data_block_size != MERKLE_BLOCK_SIZE ||
        tree->hash_block_size != MERKLE_BLOCK_SIZE)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "partition '%.*s' cannot be verified: its hash tree is not one of sha256 "
                         "over blocks of %d bytes",
                         (int)tree->name.size, (const char *)tree->name.data, MERKLE_BLOCK_SIZE);
    if (tree->tree_size != geometry->tree_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "partition '%.*s' has a hash tree of %" PRIu64 " bytes; %" PRIu64
                         " bytes of data have one of %" PRIu64,
                         (int)tree->name.size, (const char *)tree->name.data, tree->tree_size,
                         tree->image_size, geometry->tree_size);
    return 0;
}

static int refuse_tree(const AvbHashtree *tree,
                       const Comparison *comparison,
                       bool root_is_right,
                       Error *error)
{
    int name_size = (int)tree->name.size;
    const char *name = (const char *)tree->name.data;

    if (root_is_right)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the hash tree of partition '%.*s' was altered at offset %" PRIu64
                         " of the image",
                         name_size, name, tree->tree_offset + comparison->first);
    if (comparison->first_in_lowest == tree->tree_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the image of partition '%.*s' is another one: its root hash is not the "
                         "one in vbmeta",
                         name_size, name);
    return error_set(error, ERROR_IMAGE_INVALID,
                     "the data of partition '%.*s' was altered: its hash tree has another hash of "
                     "block %" PRIu64,
                     name_size, name,
                     (comparison->first_in_lowest - comparison->lowest_level) / MERKLE_HASH_SIZE);
}

int avb_partition_verify_hashtree(const AvbHashtree *tree,
                                  const ByteSource *image,
                                  const Progress *progress,
                                  Error *error)
{
    Comparison comparison = { .first = tree->tree_size, .first_in_lowest = tree->tree_size };
    const MerkleOptions options = {
        .salt = tree->salt.data,
        .salt_size = tree->salt.size,
        .progress = progress,
        .write = compare,
        .userdata = &comparison,
    };
    MerkleGeometry geometry;
    uint8_t root[MERKLE_HASH_SIZE];
    ByteSource data;

    if (merkle_geometry_init(&geometry, tree->image_size) < 0)
        return error_set(error, ERROR_IMAGE_INVALID, "an image of %" PRIu64 " bytes",
                         tree->image_size);
    int r = check_tree_kind(tree, &geometry, error);
    if (r < 0)
        return r;
    if (byte_source_slice(image, 0, tree->image_size, &data) < 0 ||
        byte_source_slice(image, tree->tree_offset, tree->tree_size, &comparison.tree) < 0)
        return refuse_short(image, tree->tree_offset + tree->tree_size, tree->name, error);
    comparison.lowest_level = geometry.n_levels > 0 ? geometry.level_offsets[0] : 0;
    r = merkle_tree_build(&data, &options, root, error);
    if (r < 0)
        return r;
    bool root_is_right = memcmp(root, tree->digest.data, sizeof(root)) == 0;
    if (!root_is_right || comparison.first < tree->tree_size)
        return refuse_tree(tree, &comparison, root_is_right, error);
    return 0;
}
