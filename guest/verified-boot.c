/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/verified-boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/avb-descriptor.h"
#include "composite-disk/vbmeta-header.h"
#include "composite-disk/vbmeta.h"

#define KERNEL_NAME            "boot"
#define INITRD_NORMAL_NAME     "initrd_normal" /* these two are pvmfw's */
#define INITRD_DEBUGGABLE_NAME "initrd_debug"
#define SYSTEM_NAME            "super"
#define HASH_ALGORITHM         "sha256"

#define PUBLIC_KEY_HEADER_SIZE 8 /* of AVB's form, before the modulus */

/* What is looked for among the descriptors. */
typedef struct Found {
    AvbHash kernel, initrd;
    AvbHashtree system;
    bool has_kernel, has_initrd, has_system;
} Found;

static int check_signature(const Vbmeta *vbmeta, CryptoBytes trusted, Error *error)
{
    const VbmetaAlgorithm *algorithm = vbmeta->algorithm;
    _cleanup_free_ uint8_t *bytes = NULL;
    uint8_t digest[CRYPTO_HASH_SIZE_MAX];
    size_t size;

    if (algorithm->key_bits == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta is not signed");
    if (vbmeta->public_key.size != trusted.size ||
        memcmp(vbmeta->public_key.data, trusted.data, trusted.size) != 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, EKEYREJECTED,
                               "vbmeta is signed with another key than the initramfs trusts");

    CryptoHash hash = algorithm->hash_size == CRYPTO_SHA512_SIZE ? CRYPTO_SHA512 : CRYPTO_SHA256;
    size_t authentication_size =
        (size_t)vbmeta_header_decode(vbmeta->data.data).authentication_size; /* was checked */
    bytes =
        vbmeta_dup_signed_bytes(vbmeta->data.data, vbmeta->data.size, authentication_size, &size);
    if (!bytes || crypto_hash(hash, &(CryptoBytes){ bytes, size }, 1, digest) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (memcmp(digest, vbmeta->hash.data, crypto_hash_get_size(hash)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta was altered: its hash is another");

    const CryptoBytes modulus = { vbmeta->public_key.data + PUBLIC_KEY_HEADER_SIZE,
                                  algorithm->key_bits / 8 };
    const CryptoBytes signature = { vbmeta->signature.data, vbmeta->signature.size };
    int r = crypto_verify_rsa(modulus, hash, digest, signature);
    return r < 0 ? error_set_errno(error, ERROR_IMAGE_INVALID, r,
                                   "the signature of vbmeta is not the key's")
                 : 0;
}

static bool are_zeros(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* Signed are header and auxiliary block. What neither they nor hash and signature account for must
 * be zeros: nobody may leave a message there. */
static int check_unsigned_bytes(const Vbmeta *vbmeta,
                                const uint8_t *partition,
                                size_t size,
                                Error *error)
{
    const uint8_t *authentication = vbmeta->data.data + VBMETA_HEADER_SIZE;
    size_t authentication_size =
        (size_t)vbmeta_header_decode(vbmeta->data.data).authentication_size; /* was checked */
    size_t used = vbmeta->hash.size + vbmeta->signature.size;

    if (vbmeta->hash.data != authentication ||
        vbmeta->signature.data != authentication + vbmeta->hash.size ||
        !are_zeros(authentication + used, authentication_size - used) ||
        !are_zeros(partition + vbmeta->data.size, size - vbmeta->data.size))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta was altered: there are bytes that its signature is not over");
    return 0;
}

static bool has_name(AvbBytes name, const char *text)
{
    return avb_bytes_equal(name, avb_bytes_from_string(text));
}

static int keep_hash(const AvbHash *hash, AvbHash *ret_hash, bool *has, Error *error)
{
    if (*has || strcmp(hash->algorithm, HASH_ALGORITHM) != 0 ||
        hash->digest.size != CRYPTO_SHA256_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta has two hashes of '%.*s', or one that is no SHA-256",
                         (int)hash->name.size, (const char *)hash->name.data);
    *ret_hash = *hash;
    *has = true;
    return 0;
}

static int keep_system(const AvbHashtree *tree, Found *found, Error *error)
{
    if (found->has_system || strcmp(tree->algorithm, HASH_ALGORITHM) != 0 ||
        tree->digest.size != MERKLE_HASH_SIZE || tree->data_block_size != MERKLE_BLOCK_SIZE ||
        tree->hash_block_size != MERKLE_BLOCK_SIZE || tree->image_size == 0 ||
        tree->image_size % MERKLE_BLOCK_SIZE != 0 || tree->tree_offset % MERKLE_BLOCK_SIZE != 0 ||
        tree->salt.size > MERKLE_SALT_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta has two hash trees of '" SYSTEM_NAME
                         "', or one that is not SHA-256 over blocks of %d bytes",
                         MERKLE_BLOCK_SIZE);
    found->system = *tree;
    found->has_system = true;
    return 0;
}

static int look_at(const AvbDescriptor *descriptor, bool is_debuggable, Found *found, Error *error)
{
    const char *initrd = is_debuggable ? INITRD_DEBUGGABLE_NAME : INITRD_NORMAL_NAME;

    /* Nobody here would look into another vbmeta. */
    if (descriptor->tag == AVB_CHAIN_PARTITION)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta has a chain partition");
    if (descriptor->tag == AVB_HASH && has_name(descriptor->hash.name, KERNEL_NAME))
        return keep_hash(&descriptor->hash, &found->kernel, &found->has_kernel, error);
    if (descriptor->tag == AVB_HASH && has_name(descriptor->hash.name, initrd))
        return keep_hash(&descriptor->hash, &found->initrd, &found->has_initrd, error);
    if (descriptor->tag == AVB_HASHTREE && has_name(descriptor->hashtree.name, SYSTEM_NAME))
        return keep_system(&descriptor->hashtree, found, error);
    return 0;
}

static int find_descriptors(const Vbmeta *vbmeta, bool is_debuggable, Found *found, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    int r;

    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        r = look_at(&descriptor, is_debuggable, found, error);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    if (!found->has_kernel || !found->has_initrd || !found->has_system)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta has no descriptor of '%s'",
                         !found->has_kernel ? KERNEL_NAME
                         : !found->has_initrd
                             ? (is_debuggable ? INITRD_DEBUGGABLE_NAME : INITRD_NORMAL_NAME)
                             : SYSTEM_NAME);
    return 0;
}

static int measure(const Vbmeta *vbmeta, const Found *found, VerifiedBoot *boot)
{
    const CryptoBytes code[] = {
        { found->kernel.digest.data, found->kernel.digest.size },
        { found->initrd.digest.data, found->initrd.digest.size },
        { found->system.digest.data, found->system.digest.size },
    };
    const CryptoBytes authority = { vbmeta->public_key.data, vbmeta->public_key.size };

    int r = crypto_hash(CRYPTO_SHA512, code, ELEMENTS_OF(code), boot->code);
    return r < 0 ? r : crypto_hash(CRYPTO_SHA512, &authority, 1, boot->authority);
}

int verified_boot_read(const ByteSource *vbmeta,
                       CryptoBytes trusted,
                       bool is_debuggable,
                       VerifiedBoot *ret_boot,
                       Error *error)
{
    _cleanup_free_ uint8_t *partition = NULL;
    Found found = { 0 };
    VerifiedBoot boot = { 0 };
    Vbmeta parsed;

    int r = byte_source_read_all(vbmeta, VBMETA_SIZE_MAX, &partition);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read vbmeta");
    size_t size = (size_t)vbmeta->size;
    r = vbmeta_parse(partition, size, &parsed, error);
    if (r >= 0)
        r = check_signature(&parsed, trusted, error);
    if (r >= 0)
        r = check_unsigned_bytes(&parsed, partition, size, error);
    if (r < 0)
        return r;
    if (parsed.flags != 0)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta has flags, %#" PRIx32, parsed.flags);
    r = find_descriptors(&parsed, is_debuggable, &found, error);
    if (r < 0)
        return r;
    if (measure(&parsed, &found, &boot) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    boot.rollback_index = parsed.rollback_index;
    boot.system.n_data_blocks = found.system.image_size / MERKLE_BLOCK_SIZE;
    boot.system.tree_block = found.system.tree_offset / MERKLE_BLOCK_SIZE;
    memcpy(boot.system.root, found.system.digest.data, sizeof(boot.system.root));
    memcpy(boot.system.salt, found.system.salt.data, found.system.salt.size);
    boot.system.salt_size = found.system.salt.size;
    *ret_boot = boot;
    return 0;
}
