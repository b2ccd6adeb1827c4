/* SPDX-License-Identifier: Apache-2.0 */
/* "vbmeta info" and "vbmeta verify": what a vbmeta structure says, and whether it is true. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-partition.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/tool/verbs.h"
#include "composite-disk/vbmeta.h"

#define SHA256_SIZE 32

/* A structure and the image that it was found in. */
typedef struct File {
    ByteSource source;
    int fd;
    uint8_t *data;
    Vbmeta vbmeta;
    uint64_t offset;
    bool has_footer;
    AvbFooter footer;
} File;

static void file_deinit(File *file)
{
    file->fd = fd_close(file->fd);
    free(file->data);
    file->data = NULL;
}

static int file_open(const char *path, File *file, Error *error)
{
    size_t size;

    int r = byte_source_open(path, &file->source, error);
    if (r < 0)
        return r;
    file->fd = file->source.fd;
    r = avb_footer_read(&file->source, &file->footer, error);
    if (r < 0)
        return r;
    file->has_footer = r > 0;
    r = vbmeta_load(&file->source, &file->data, &size, &file->offset, error);
    return r < 0 ? r : vbmeta_parse(file->data, size, &file->vbmeta, error);
}

/* --- info --- */

static void add_bytes(struct json_object *object, const char *key, AvbBytes bytes)
{
    tool_add_text(object, key, bytes.data, bytes.size);
}

static void add_key_digest(struct json_object *object, AvbBytes key)
{
    uint8_t digest[SHA256_SIZE];

    if (EVP_Digest(key.data, key.size, digest, NULL, EVP_sha256(), NULL) == 1)
        tool_add_hex(object, "public-key-sha256", digest, sizeof(digest));
}

static void describe_hashtree(struct json_object *row, const AvbHashtree *tree)
{
    add_bytes(row, "partition", tree->name);
    tool_add_number(row, "image-size", tree->image_size);
    tool_add_number(row, "tree-offset", tree->tree_offset);
    tool_add_number(row, "tree-size", tree->tree_size);
    tool_add_number(row, "data-block-size", tree->data_block_size);
    tool_add_number(row, "hash-block-size", tree->hash_block_size);
    tool_add_number(row, "fec-roots", tree->fec_roots);
    tool_add_number(row, "fec-offset", tree->fec_offset);
    tool_add_number(row, "fec-size", tree->fec_size);
    tool_add_string(row, "algorithm", tree->algorithm);
    tool_add_hex(row, "salt", tree->salt.data, tree->salt.size);
    tool_add_hex(row, "root-digest", tree->digest.data, tree->digest.size);
    tool_add_number(row, "flags", tree->flags);
}

static void describe_hash(struct json_object *row, const AvbHash *hash)
{
    add_bytes(row, "partition", hash->name);
    tool_add_number(row, "image-size", hash->image_size);
    tool_add_string(row, "algorithm", hash->algorithm);
    tool_add_hex(row, "salt", hash->salt.data, hash->salt.size);
    tool_add_hex(row, "digest", hash->digest.data, hash->digest.size);
    tool_add_number(row, "flags", hash->flags);
}

static void describe(struct json_object *row, const AvbDescriptor *descriptor)
{
    switch (descriptor->tag) {
    case AVB_PROPERTY:
        add_bytes(row, "key", descriptor->property.key);
        add_bytes(row, "value", descriptor->property.value);
        break;
    case AVB_HASHTREE:
        describe_hashtree(row, &descriptor->hashtree);
        break;
    case AVB_HASH:
        describe_hash(row, &descriptor->hash);
        break;
    case AVB_KERNEL_CMDLINE:
        tool_add_number(row, "flags", descriptor->kernel_cmdline.flags);
        add_bytes(row, "text", descriptor->kernel_cmdline.text);
        break;
    case AVB_CHAIN_PARTITION:
        add_bytes(row, "partition", descriptor->chain_partition.name);
        tool_add_number(row, "rollback-index-location",
                        descriptor->chain_partition.rollback_index_location);
        add_key_digest(row, descriptor->chain_partition.public_key);
        tool_add_number(row, "flags", descriptor->chain_partition.flags);
        break;
    default:
        tool_add_number(row, "tag", descriptor->tag);
        tool_add_number(row, "size", descriptor->unknown.size);
    }
}

/* An array for each kind, so that its rows are alike. */
static struct json_object *get_rows(struct json_object *result, uint64_t tag)
{
    static const char *const keys[] = {
        [AVB_PROPERTY] = "properties",
        [AVB_HASHTREE] = "hashtrees",
        [AVB_HASH] = "hashes",
        [AVB_KERNEL_CMDLINE] = "kernel-cmdlines",
        [AVB_CHAIN_PARTITION] = "chain-partitions",
    };
    const char *key = tag < ELEMENTS_OF(keys) ? keys[tag] : "unknown-descriptors";
    struct json_object *rows = json_object_object_get(result, key);

    return rows ? rows : tool_add_array(result, key);
}

static int describe_all(struct json_object *result, const Vbmeta *vbmeta, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    int r;

    for (uint64_t tag = AVB_PROPERTY; tag <= AVB_CHAIN_PARTITION; tag++)
        (void)get_rows(result, tag); /* also those that stay empty */
    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        struct json_object *row = json_object_new_object();

        describe(row, &descriptor);
        (void)json_object_array_add(get_rows(result, descriptor.tag), row);
    }
    return r;
}

static void add_version(struct json_object *result, uint32_t minor)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%d.%" PRIu32, VBMETA_VERSION_MAJOR, minor);
    tool_add_string(result, "version", text);
}

static int run_info(ToolCall *call, Error *error)
{
    _cleanup_(file_deinit) File file = { .fd = -EBADF };
    const Vbmeta *vbmeta = &file.vbmeta;

    int r = file_open(call->arguments[0], &file, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "file", call->arguments[0]);
    if (file.has_footer)
        tool_add_number(call->result, "original-image-size", file.footer.image_size);
    tool_add_number(call->result, "vbmeta-offset", file.offset);
    tool_add_number(call->result, "vbmeta-size", vbmeta->data.size);
    add_version(call->result, vbmeta->version_minor);
    tool_add_string(call->result, "algorithm", vbmeta->algorithm->name);
    if (vbmeta->public_key.size > 0)
        add_key_digest(call->result, vbmeta->public_key);
    tool_add_number(call->result, "public-key-metadata-size", vbmeta->public_key_metadata.size);
    tool_add_number(call->result, "rollback-index", vbmeta->rollback_index);
    tool_add_number(call->result, "rollback-index-location", vbmeta->rollback_index_location);
    tool_add_number(call->result, "flags", vbmeta->flags);
    tool_add_string(call->result, "release", vbmeta->release);
    return describe_all(call->result, vbmeta, error);
}

/* --- verify --- */

typedef struct Verification {
    ToolCall *call;
    const File *file;
    struct json_object *rows;
    size_t n_failed;
    Error *error; /* of the first that failed */
} Verification;

/* The image that was given for a partition; NULL when there is none. */
static const char *find_given_image(const ToolCall *call, AvbBytes name)
{
    for (size_t i = 1; i < call->n_arguments; i++) {
        const char *argument = call->arguments[i], *equals = strchr(argument, '=');
        AvbBytes given = { (const uint8_t *)argument, (size_t)(equals - argument) };

        if (avb_bytes_equal(given, name))
            return equals + 1;
    }
    return NULL;
}

static int verify_chain_partition(const AvbChainPartition *chain, const char *path, Error *error)
{
    _cleanup_(file_deinit) File file = { .fd = -EBADF };

    int r = file_open(path, &file, error);
    return r < 0 ? r : vbmeta_verify(&file.vbmeta, &chain->public_key, error);
}

static int verify_image(const Verification *verification,
                        const AvbDescriptor *descriptor,
                        const char *path,
                        Error *error)
{
    const Progress *progress = verification->call->progress;
    _cleanup_close_ int fd = -EBADF;
    ByteSource source;

    if (descriptor->tag == AVB_CHAIN_PARTITION)
        return verify_chain_partition(&descriptor->chain_partition, path, error);
    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    return descriptor->tag == AVB_HASH
               ? avb_partition_verify_hash(&descriptor->hash, &source, progress, error)
               : avb_partition_verify_hashtree(&descriptor->hashtree, &source, progress, error);
}

static void verify_partition(Verification *verification,
                             const AvbDescriptor *descriptor,
                             const char *path)
{
    AvbBytes name = avb_descriptor_get_partition(descriptor);
    struct json_object *row = json_object_new_object();
    Error error = ERROR_INIT;

    add_bytes(row, "partition", name);
    tool_add_string(row, "type", avb_tag_to_string(descriptor->tag));
    if (!path) {
        tool_add_string(row, "result", "not checked");
    } else if (verify_image(verification, descriptor, path, &error) < 0) {
        tool_add_string(row, "result", error_get_message(&error));
        if (verification->n_failed++ == 0)
            error_move(verification->error, &error);
    } else {
        tool_add_string(row, "result", "verified");
    }
    error_clear(&error);
    (void)json_object_array_add(verification->rows, row);
}

/* The structure behind an image is about that image if it is about one only. */
static int count_own(const Vbmeta *vbmeta, size_t *ret_n, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    size_t n = 0;
    int r;

    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0)
        n += descriptor.tag == AVB_HASH || descriptor.tag == AVB_HASHTREE;
    *ret_n = n;
    return r;
}

static int verify_partitions(Verification *verification, Error *error)
{
    const Vbmeta *vbmeta = &verification->file->vbmeta;
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    size_t n_own;

    int r = count_own(vbmeta, &n_own, error);
    while (r >= 0 && (r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        AvbBytes name = avb_descriptor_get_partition(&descriptor);
        const char *path = find_given_image(verification->call, name);

        if (name.size == 0 && descriptor.tag != AVB_HASHTREE)
            continue;
        if (!path && verification->file->has_footer && n_own == 1 &&
            descriptor.tag != AVB_CHAIN_PARTITION)
            path = verification->call->arguments[0];
        verify_partition(verification, &descriptor, path);
    }
    return r;
}

static int check_is_described(const Vbmeta *vbmeta, AvbBytes name, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    AvbDescriptor descriptor;
    int r;

    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        if (avb_bytes_equal(avb_descriptor_get_partition(&descriptor), name))
            return 0;
    }
    if (r < 0)
        return r;
    return error_set(error, ERROR_IMAGE_INVALID,
                     "the vbmeta structure says nothing of a partition '%.*s'", (int)name.size,
                     (const char *)name.data);
}

/* An image that was given for nothing, or beside another, would pass unseen. */
static int check_images(const ToolCall *call, const Vbmeta *vbmeta, Error *error)
{
    for (size_t i = 1; i < call->n_arguments; i++) {
        const char *argument = call->arguments[i], *equals = strchr(argument, '=');

        if (!equals || equals == argument || equals[1] == '\0')
            return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' is not PARTITION=IMAGE",
                             argument);
        AvbBytes name = { (const uint8_t *)argument, (size_t)(equals - argument) };
        if (find_given_image(call, name) != equals + 1)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "two images are given for partition '%.*s'", (int)name.size, argument);
        int r = check_is_described(vbmeta, name, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_flags(const Vbmeta *vbmeta, Error *error)
{
    if (vbmeta->flags & (VBMETA_FLAG_HASHTREE_DISABLED | VBMETA_FLAG_VERIFICATION_DISABLED))
        return error_set(
            error, ERROR_IMAGE_INVALID,
            "the vbmeta structure switches the verification of %s off (flags %" PRIu32 ")",
            vbmeta->flags & VBMETA_FLAG_VERIFICATION_DISABLED ? "everything" : "hash trees",
            vbmeta->flags);
    return 0;
}

static int verify_structure(ToolCall *call, const Vbmeta *vbmeta, Error *error)
{
    const char *path = tool_get_option(call, "key");
    AvbPublicKey key;
    AvbBytes trusted = { 0 };
    uint64_t least;

    int r = tool_get_number(call, "min-rollback-index", UINT64_MAX, 0, &least, error);
    if (r < 0)
        return r;
    if (path) {
        r = avb_public_key_load(path, &key, error);
        if (r < 0)
            return r;
        trusted = (AvbBytes){ key.bytes, key.size };
    }
    r = vbmeta_verify(vbmeta, path ? &trusted : NULL, error);
    if (r < 0)
        return r;
    if (vbmeta->rollback_index < least)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the vbmeta structure has the rollback index %" PRIu64
                         ", which is below %" PRIu64,
                         vbmeta->rollback_index, least);
    return check_flags(vbmeta, error);
}

static int run_verify(ToolCall *call, Error *error)
{
    _cleanup_(file_deinit) File file = { .fd = -EBADF };
    Verification verification = { .call = call, .file = &file, .error = error };

    int r = file_open(call->arguments[0], &file, error);
    if (r >= 0)
        r = verify_structure(call, &file.vbmeta, error);
    if (r >= 0)
        r = check_images(call, &file.vbmeta, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "file", call->arguments[0]);
    tool_add_string(call->result, "algorithm", file.vbmeta.algorithm->name);
    add_key_digest(call->result, file.vbmeta.public_key);
    tool_add_bool(call->result, "key-was-given", tool_get_option(call, "key") != NULL);
    tool_add_number(call->result, "rollback-index", file.vbmeta.rollback_index);
    verification.rows = tool_add_array(call->result, "partitions");
    r = verify_partitions(&verification, error);
    if (r < 0)
        return r;
    return verification.n_failed > 0 ? -error_kind_to_errno(error->kind) : 0;
}

const ToolVerb vbmeta_verbs[] = {
    { .name = "vbmeta info",
      .arguments = "FILE",
      .summary = "show a vbmeta structure, of its own or behind an image",
      .n_min = 1,
      .n_max = 1,
      .run = run_info },
    { .name = "vbmeta verify",
      .arguments = "FILE [PARTITION=IMAGE]...",
      .summary = "verify a vbmeta structure, and images that it tells of",
      .n_min = 1,
      .n_max = SIZE_MAX,
      .options = { { "key", 0, "FILE", "the key that has to have signed it, public or private" },
                   { "min-rollback-index", 0, "NUMBER", "refuse a lower rollback index" } },
      .run = run_verify },
    { .name = NULL },
};
