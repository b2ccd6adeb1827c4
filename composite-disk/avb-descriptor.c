/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/text.h"

#define DESCRIPTOR_ALIGNMENT 8
#define RESERVED_SIZE        60
#define DM_VERITY_VERSION    1
#define BLOCK_SIZE_MIN       512
#define BLOCK_SIZE_MAX       65536

static const struct {
    const char *name;
    size_t size;
} hash_algorithms[] = {
    { "sha1", 20 },
    { "sha256", 32 },
    { "sha512", 64 },
    { "blake2b-256", 32 },
};

AvbBytes avb_bytes_from_string(const char *text)
{
    return (AvbBytes){ (const uint8_t *)text, strlen(text) };
}

bool avb_bytes_equal(AvbBytes a, AvbBytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

size_t avb_hash_algorithm_get_size(const char *algorithm)
{
    for (size_t i = 0; i < ELEMENTS_OF(hash_algorithms); i++) {
        if (strcmp(algorithm, hash_algorithms[i].name) == 0)
            return hash_algorithms[i].size;
    }
    return 0;
}

const char *avb_tag_to_string(uint64_t tag)
{
    static const char *const names[] = {
        [AVB_PROPERTY] = "property",
        [AVB_HASHTREE] = "hashtree",
        [AVB_HASH] = "hash",
        [AVB_KERNEL_CMDLINE] = "kernel-cmdline",
        [AVB_CHAIN_PARTITION] = "chain-partition",
    };

    return tag < ELEMENTS_OF(names) ? names[tag] : "unknown";
}

AvbBytes avb_descriptor_get_partition(const AvbDescriptor *descriptor)
{
    switch (descriptor->tag) {
    case AVB_HASHTREE:
        return descriptor->hashtree.name;
    case AVB_HASH:
        return descriptor->hash.name;
    case AVB_CHAIN_PARTITION:
        return descriptor->chain_partition.name;
    default:
        return (AvbBytes){ 0 };
    }
}

/* As avbtool counts: flags of hash and hashtree came with 1.1, those of chain partitions, and no
 * others, with 1.3. */
uint32_t avb_descriptor_get_minor_version(const AvbDescriptor *descriptor)
{
    switch (descriptor->tag) {
    case AVB_HASHTREE:
        return descriptor->hashtree.flags ? 1 : 0;
    case AVB_HASH:
        return descriptor->hash.flags || descriptor->hash.digest.size == 0 ? 1 : 0;
    case AVB_CHAIN_PARTITION:
        return descriptor->chain_partition.flags ? 3 : 0;
    default:
        return 0;
    }
}

/* --- what holds for every descriptor, read or made --- */

static bool is_text(AvbBytes bytes)
{
    if (!text_is_utf8((const char *)bytes.data, bytes.size))
        return false;
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] < 0x20 || bytes.data[i] == 0x7f)
            return false;
    }
    return true;
}

static int check_name(AvbBytes name, ErrorKind kind, Error *error)
{
    if (name.size == 0 || name.size > AVB_PARTITION_NAME_MAX)
        return error_set(error, kind, "a partition name of %zu bytes; it has 1 to %d", name.size,
                         AVB_PARTITION_NAME_MAX);
    if (!is_text(name))
        return error_set(error, kind, "a partition name that is no printable text");
    return 0;
}

static int check_digest(
    const char *algorithm, AvbBytes salt, AvbBytes digest, ErrorKind kind, Error *error)
{
    size_t size = avb_hash_algorithm_get_size(algorithm);

    if (*algorithm == '\0' || !is_text(avb_bytes_from_string(algorithm)))
        return error_set(error, kind, "a hash algorithm without a printable name");
    if (salt.size > AVB_SALT_SIZE_MAX)
        return error_set(error, kind, "a salt of %zu bytes; dm-verity takes at most %d", salt.size,
                         AVB_SALT_SIZE_MAX);
    if (digest.size > AVB_DIGEST_SIZE_MAX || (size > 0 && digest.size != size))
        return error_set(error, kind, "a digest of %zu bytes with the hash algorithm %s",
                         digest.size, algorithm);
    return 0;
}

static int check_block_size(uint32_t size, const char *what, ErrorKind kind, Error *error)
{
    if (size < BLOCK_SIZE_MIN || size > BLOCK_SIZE_MAX || (size & (size - 1)) != 0)
        return error_set(error, kind, "%s blocks of %" PRIu32 " bytes", what, size);
    return 0;
}

/* What begins at @offset lies behind the first @floor bytes, and its end is a file offset. */
static int check_region(
    uint64_t offset, uint64_t size, uint64_t floor, const char *what, ErrorKind kind, Error *error)
{
    uint64_t end;

    if (ckd_add(&end, offset, size) || end > AVB_IMAGE_SIZE_MAX)
        return error_set(error, kind,
                         "a %s of %" PRIu64 " bytes at offset %" PRIu64 ", which no file can hold",
                         what, size, offset);
    if (offset < floor)
        return error_set(error, kind,
                         "a %s at offset %" PRIu64 " that overlaps what ends at %" PRIu64, what,
                         offset, floor);
    return 0;
}

static int check_hashtree(const AvbHashtree *tree, ErrorKind kind, Error *error)
{
    if (tree->dm_verity_version != DM_VERITY_VERSION)
        return error_set(error, kind, "dm-verity version %" PRIu32 "; known is version %d",
                         tree->dm_verity_version, DM_VERITY_VERSION);
    int r = check_block_size(tree->data_block_size, "data", kind, error);
    if (r >= 0)
        r = check_block_size(tree->hash_block_size, "hash", kind, error);
    if (r < 0)
        return r;
    if (tree->image_size == 0 || tree->image_size % tree->data_block_size != 0 ||
        tree->image_size > AVB_IMAGE_SIZE_MAX)
        return error_set(error, kind,
                         "an image of %" PRIu64 " bytes, which is no number of blocks of %" PRIu32,
                         tree->image_size, tree->data_block_size);
    if (tree->tree_offset % tree->hash_block_size != 0 ||
        tree->tree_size % tree->hash_block_size != 0)
        return error_set(error, kind,
                         "a tree of %" PRIu64 " bytes at offset %" PRIu64
                         ": not whole blocks of %" PRIu32,
                         tree->tree_size, tree->tree_offset, tree->hash_block_size);
    r = check_region(tree->tree_offset, tree->tree_size, tree->image_size, "tree", kind, error);
    if (r >= 0 && tree->fec_roots > 0)
        r = check_region(tree->fec_offset, tree->fec_size, tree->tree_offset + tree->tree_size,
                         "FEC", kind, error);
    /* That of the image in an APEX, which is no partition, has no name. */
    if (r >= 0 && tree->name.size > 0)
        r = check_name(tree->name, kind, error);
    return r < 0 ? r : check_digest(tree->algorithm, tree->salt, tree->digest, kind, error);
}

static int check_hash(const AvbHash *hash, ErrorKind kind, Error *error)
{
    if (hash->image_size > AVB_IMAGE_SIZE_MAX)
        return error_set(error, kind, "an image of %" PRIu64 " bytes", hash->image_size);
    int r = check_name(hash->name, kind, error);
    if (r < 0)
        return r;
    if (hash->digest.size == 0)
        return 0;
    return check_digest(hash->algorithm, hash->salt, hash->digest, kind, error);
}

static int check_property(const AvbProperty *property, ErrorKind kind, Error *error)
{
    if (property->key.size == 0 || !is_text(property->key))
        return error_set(error, kind, "a property whose key is no printable text");
    return 0;
}

static int check_descriptor(const AvbDescriptor *descriptor, ErrorKind kind, Error *error)
{
    switch (descriptor->tag) {
    case AVB_PROPERTY:
        return check_property(&descriptor->property, kind, error);
    case AVB_HASHTREE:
        return check_hashtree(&descriptor->hashtree, kind, error);
    case AVB_HASH:
        return check_hash(&descriptor->hash, kind, error);
    case AVB_KERNEL_CMDLINE:
        if (!is_text(descriptor->kernel_cmdline.text))
            return error_set(error, kind, "a kernel command line that is no printable text");
        return 0;
    case AVB_CHAIN_PARTITION:
        /* 0 is the location of the structure that chains. */
        if (descriptor->chain_partition.rollback_index_location == 0)
            return error_set(error, kind, "a chain partition with the rollback index location 0");
        return check_name(descriptor->chain_partition.name, kind, error);
    default:
        return 0;
    }
}

/* --- decoding; each returns -EBADMSG for sizes that do not fit --- */

static int get_bytes(ByteReader *reader, uint64_t size, AvbBytes *ret_bytes)
{
    if (size > reader->size)
        return -EBADMSG;
    ret_bytes->size = (size_t)size;
    return byte_reader_get_view(reader, ret_bytes->size, &ret_bytes->data);
}

static int get_algorithm(ByteReader *reader, char algorithm[static AVB_ALGORITHM_SIZE])
{
    int r = byte_reader_get_bytes(reader, algorithm, AVB_ALGORITHM_SIZE);

    return r < 0 || !memchr(algorithm, '\0', AVB_ALGORITHM_SIZE) ? -EBADMSG : 0;
}

static int decode_property(ByteReader *reader, AvbProperty *property)
{
    uint64_t key_size, value_size;
    AvbBytes key_end, value_end;

    if (byte_reader_get_be64(reader, &key_size) < 0 ||
        byte_reader_get_be64(reader, &value_size) < 0 ||
        get_bytes(reader, key_size, &property->key) < 0 || get_bytes(reader, 1, &key_end) < 0 ||
        get_bytes(reader, value_size, &property->value) < 0 || get_bytes(reader, 1, &value_end) < 0)
        return -EBADMSG;
    return *key_end.data != '\0' || *value_end.data != '\0' ? -EBADMSG : 0;
}

/* Name, salt and digest, whose sizes come in front of the flags. */
static int decode_names(
    ByteReader *reader, AvbBytes *name, AvbBytes *salt, AvbBytes *digest, uint32_t *flags)
{
    uint32_t name_size, salt_size, digest_size;
    AvbBytes reserved;

    if (byte_reader_get_be32(reader, &name_size) < 0 ||
        byte_reader_get_be32(reader, &salt_size) < 0 ||
        byte_reader_get_be32(reader, &digest_size) < 0 || byte_reader_get_be32(reader, flags) < 0 ||
        get_bytes(reader, RESERVED_SIZE, &reserved) < 0 || get_bytes(reader, name_size, name) < 0 ||
        get_bytes(reader, salt_size, salt) < 0)
        return -EBADMSG;
    return get_bytes(reader, digest_size, digest);
}

static int decode_hashtree(ByteReader *reader, AvbHashtree *tree)
{
    if (byte_reader_get_be32(reader, &tree->dm_verity_version) < 0 ||
        byte_reader_get_be64(reader, &tree->image_size) < 0 ||
        byte_reader_get_be64(reader, &tree->tree_offset) < 0 ||
        byte_reader_get_be64(reader, &tree->tree_size) < 0 ||
        byte_reader_get_be32(reader, &tree->data_block_size) < 0 ||
        byte_reader_get_be32(reader, &tree->hash_block_size) < 0 ||
        byte_reader_get_be32(reader, &tree->fec_roots) < 0 ||
        byte_reader_get_be64(reader, &tree->fec_offset) < 0 ||
        byte_reader_get_be64(reader, &tree->fec_size) < 0 ||
        get_algorithm(reader, tree->algorithm) < 0)
        return -EBADMSG;
    return decode_names(reader, &tree->name, &tree->salt, &tree->digest, &tree->flags);
}

static int decode_hash(ByteReader *reader, AvbHash *hash)
{
    if (byte_reader_get_be64(reader, &hash->image_size) < 0 ||
        get_algorithm(reader, hash->algorithm) < 0)
        return -EBADMSG;
    return decode_names(reader, &hash->name, &hash->salt, &hash->digest, &hash->flags);
}

static int decode_kernel_cmdline(ByteReader *reader, AvbKernelCmdline *cmdline)
{
    uint32_t size;

    if (byte_reader_get_be32(reader, &cmdline->flags) < 0 ||
        byte_reader_get_be32(reader, &size) < 0)
        return -EBADMSG;
    return get_bytes(reader, size, &cmdline->text);
}

static int decode_chain_partition(ByteReader *reader, AvbChainPartition *chain)
{
    uint32_t name_size, key_size;
    AvbBytes reserved;

    if (byte_reader_get_be32(reader, &chain->rollback_index_location) < 0 ||
        byte_reader_get_be32(reader, &name_size) < 0 ||
        byte_reader_get_be32(reader, &key_size) < 0 ||
        byte_reader_get_be32(reader, &chain->flags) < 0 ||
        get_bytes(reader, RESERVED_SIZE, &reserved) < 0 ||
        get_bytes(reader, name_size, &chain->name) < 0)
        return -EBADMSG;
    return get_bytes(reader, key_size, &chain->public_key);
}

static int decode_body(ByteReader *reader, AvbDescriptor *descriptor)
{
    switch (descriptor->tag) {
    case AVB_PROPERTY:
        return decode_property(reader, &descriptor->property);
    case AVB_HASHTREE:
        return decode_hashtree(reader, &descriptor->hashtree);
    case AVB_HASH:
        return decode_hash(reader, &descriptor->hash);
    case AVB_KERNEL_CMDLINE:
        return decode_kernel_cmdline(reader, &descriptor->kernel_cmdline);
    case AVB_CHAIN_PARTITION:
        return decode_chain_partition(reader, &descriptor->chain_partition);
    default:
        return get_bytes(reader, reader->size, &descriptor->unknown);
    }
}

AvbDescriptorCursor avb_descriptor_cursor(AvbBytes descriptors)
{
    return (AvbDescriptorCursor){ .reader = byte_reader(descriptors.data, descriptors.size) };
}

int avb_descriptor_next(AvbDescriptorCursor *cursor, AvbDescriptor *ret_descriptor, Error *error)
{
    _cleanup_(error_clear) Error reason = ERROR_INIT;
    AvbDescriptor descriptor = { 0 };
    ByteReader reader = cursor->reader;
    AvbBytes body;
    uint64_t size;

    if (reader.size == 0)
        return 0;
    if (byte_reader_get_be64(&reader, &descriptor.tag) < 0 ||
        byte_reader_get_be64(&reader, &size) < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta descriptor at offset %zu: %zu bytes are too few for one",
                         cursor->offset, cursor->reader.size);
    if (size % DESCRIPTOR_ALIGNMENT != 0 || get_bytes(&reader, size, &body) < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta descriptor at offset %zu: its %" PRIu64
                         " bytes are no multiple of %d, or more than the %zu that there are",
                         cursor->offset, size, DESCRIPTOR_ALIGNMENT, reader.size);

    ByteReader fields = byte_reader(body.data, body.size);
    if (decode_body(&fields, &descriptor) < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "vbmeta descriptor at offset %zu: its fields do not fit its %zu bytes as a"
                         " %s descriptor",
                         cursor->offset, body.size, avb_tag_to_string(descriptor.tag));
    if (check_descriptor(&descriptor, ERROR_IMAGE_INVALID, &reason) < 0)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta descriptor at offset %zu: %s",
                         cursor->offset, error_get_message(&reason));
    cursor->offset += cursor->reader.size - reader.size;
    cursor->reader = reader;
    *ret_descriptor = descriptor;
    return 1;
}

/* --- encoding --- */

static void put(ByteWriter *writer, AvbBytes bytes)
{
    byte_writer_put_bytes(writer, bytes.data, bytes.size);
}

static void put_algorithm(ByteWriter *writer, const char *algorithm)
{
    size_t size = strnlen(algorithm, AVB_ALGORITHM_SIZE - 1);

    byte_writer_put_bytes(writer, algorithm, size);
    byte_writer_put_zeros(writer, AVB_ALGORITHM_SIZE - size);
}

/* Sizes that the writer has no room for are cut here and found there. */
static void put_size(ByteWriter *writer, AvbBytes bytes)
{
    byte_writer_put_be32(writer, (uint32_t)bytes.size);
}

static void put_names(
    ByteWriter *writer, AvbBytes name, AvbBytes salt, AvbBytes digest, uint32_t flags)
{
    put_size(writer, name);
    put_size(writer, salt);
    put_size(writer, digest);
    byte_writer_put_be32(writer, flags);
    byte_writer_put_zeros(writer, RESERVED_SIZE);
    put(writer, name);
    put(writer, salt);
    put(writer, digest);
}

static void put_property(ByteWriter *writer, const AvbProperty *property)
{
    byte_writer_put_be64(writer, property->key.size);
    byte_writer_put_be64(writer, property->value.size);
    put(writer, property->key);
    byte_writer_put_zeros(writer, 1);
    put(writer, property->value);
    byte_writer_put_zeros(writer, 1);
}

static void put_hashtree(ByteWriter *writer, const AvbHashtree *tree)
{
    byte_writer_put_be32(writer, tree->dm_verity_version);
    byte_writer_put_be64(writer, tree->image_size);
    byte_writer_put_be64(writer, tree->tree_offset);
    byte_writer_put_be64(writer, tree->tree_size);
    byte_writer_put_be32(writer, tree->data_block_size);
    byte_writer_put_be32(writer, tree->hash_block_size);
    byte_writer_put_be32(writer, tree->fec_roots);
    byte_writer_put_be64(writer, tree->fec_offset);
    byte_writer_put_be64(writer, tree->fec_size);
    put_algorithm(writer, tree->algorithm);
    put_names(writer, tree->name, tree->salt, tree->digest, tree->flags);
}

static void put_chain_partition(ByteWriter *writer, const AvbChainPartition *chain)
{
    byte_writer_put_be32(writer, chain->rollback_index_location);
    put_size(writer, chain->name);
    put_size(writer, chain->public_key);
    byte_writer_put_be32(writer, chain->flags);
    byte_writer_put_zeros(writer, RESERVED_SIZE);
    put(writer, chain->name);
    put(writer, chain->public_key);
}

static void put_body(ByteWriter *writer, const AvbDescriptor *descriptor)
{
    switch (descriptor->tag) {
    case AVB_PROPERTY:
        put_property(writer, &descriptor->property);
        break;
    case AVB_HASHTREE:
        put_hashtree(writer, &descriptor->hashtree);
        break;
    case AVB_HASH:
        byte_writer_put_be64(writer, descriptor->hash.image_size);
        put_algorithm(writer, descriptor->hash.algorithm);
        put_names(writer, descriptor->hash.name, descriptor->hash.salt, descriptor->hash.digest,
                  descriptor->hash.flags);
        break;
    case AVB_KERNEL_CMDLINE:
        byte_writer_put_be32(writer, descriptor->kernel_cmdline.flags);
        put_size(writer, descriptor->kernel_cmdline.text);
        put(writer, descriptor->kernel_cmdline.text);
        break;
    case AVB_CHAIN_PARTITION:
        put_chain_partition(writer, &descriptor->chain_partition);
        break;
    default:
        put(writer, descriptor->unknown);
    }
}

int avb_descriptor_encode(const AvbDescriptor *descriptor, ByteWriter *writer, Error *error)
{
    int r = check_descriptor(descriptor, ERROR_INVALID_ARGUMENT, error);
    if (r < 0)
        return r;

    size_t start = writer->size;
    byte_writer_put_be64(writer, descriptor->tag);
    byte_writer_put_be64(writer, 0); /* until it is known */
    size_t body = writer->size;
    put_body(writer, descriptor);
    byte_writer_put_zeros(writer, -(writer->size - body) % DESCRIPTOR_ALIGNMENT);
    if (byte_writer_finish(writer) >= 0) {
        ByteWriter size = byte_writer(writer->data + start, body - start);

        byte_writer_put_be64(&size, descriptor->tag);
        byte_writer_put_be64(&size, writer->size - body);
    }
    return 0;
}
