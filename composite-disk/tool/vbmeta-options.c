/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/tool/vbmeta-options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "common/random.h"
#include "common/text.h"
#include "composite-disk/avb-partition.h"
#include "composite-disk/avb-public-key.h"
#include "config.h"

#define RELEASE                       "composite-disk " PACKAGE_VERSION
#define SALT_SIZE                     32 /* of one that is made here */
#define VBMETA_OPTIONS_PARTITIONS_MAX 64
#define LOCATION_MAX                  UINT32_MAX

VbmetaOptions *vbmeta_options_free(VbmetaOptions *options)
{
    if (!options)
        return NULL;
    signing_key_free(options->key);
    for (size_t i = 0; i < options->n_parts; i++)
        free(options->parts[i].bytes);
    free(options->bytes);
    free(options);
    return NULL;
}
/* --- options --- */

static int refuse_value(const char *option, const char *form, const char *value, Error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' takes %s, not '%s'", option,
                     form, value);
}

/* NUMBER[:LOCATION] */
static int take_rollback_index(VbmetaOptions *options, Error *error)
{
    const char *value = tool_get_option(options->call, "rollback-index");
    uint64_t location = 0;

    if (!value)
        return 0;
    const char *colon = strchr(value, ':');
    _cleanup_free_ char *number = strndup(value, colon ? (size_t)(colon - value) : strlen(value));
    if (!number)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (text_parse_u64(number, UINT64_MAX, &options->contents.rollback_index) < 0 ||
        (colon && text_parse_u64(colon + 1, LOCATION_MAX, &location) < 0))
        return refuse_value("rollback-index", "NUMBER[:LOCATION]", value, error);
    options->contents.rollback_index_location = (uint32_t)location;
    return 0;
}

static int take_algorithm(VbmetaOptions *options, Error *error)
{
    const char *path = tool_get_option(options->call, "key");
    const char *name = tool_get_option(options->call, "algorithm");

    if (path) {
        int r = signing_key_load(path, NULL, &options->key, error);
        if (r < 0)
            return r;
    }
    options->contents.key = options->key;
    if (name)
        options->contents.algorithm = vbmeta_algorithm_find_name(name);
    else
        options->contents.algorithm =
            path ? vbmeta_algorithm_find_bits(EVP_PKEY_get_bits(options->key->key))
                 : vbmeta_algorithm_find(0);
    if (!options->contents.algorithm && name)
        return refuse_value(
            "algorithm", "NONE or SHA256_ or SHA512_ and RSA2048, RSA4096 or RSA8192", name, error);
    if (!options->contents.algorithm)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the key in '%s' has %d bits; AVB has RSA keys of 2048, 4096 and 8192",
                         path, EVP_PKEY_get_bits(options->key->key));
    return 0;
}

int vbmeta_options_new(ToolCall *call, VbmetaOptions **ret_options, Error *error)
{
    _cleanup_(vbmeta_options_freep) VbmetaOptions *options = calloc(1, sizeof(*options));

    if (options)
        options->bytes = malloc(VBMETA_SIZE_MAX);
    if (!options || !options->bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    options->call = call;
    options->writer = byte_writer(options->bytes, VBMETA_SIZE_MAX);
    options->contents.release = RELEASE;
    int r = take_algorithm(options, error);
    if (r >= 0)
        r = take_rollback_index(options, error);
    if (r < 0)
        return r;
    *ret_options = TAKE_PTR(options);
    return 0;
}

int vbmeta_options_get_salt(VbmetaOptions *options, AvbBytes *ret_salt, Error *error)
{
    const char *text = tool_get_option(options->call, "salt");

    if (!text) {
        int r = random_fill(options->salt, SALT_SIZE);
        *ret_salt = (AvbBytes){ options->salt, SALT_SIZE };
        return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "no random bytes for a salt") : 0;
    }
    size_t length = strlen(text);
    if (length % 2 != 0 || length / 2 > sizeof(options->salt) ||
        text_parse_hex(text, length / 2, options->salt) < 0)
        return refuse_value("salt", "0 to 256 bytes in hexadecimal", text, error);
    *ret_salt = (AvbBytes){ options->salt, length / 2 };
    return 0;
}

/* --- descriptors --- */

static int add_descriptor(VbmetaOptions *options, const AvbDescriptor *descriptor, Error *error)
{
    int r = avb_descriptor_encode(descriptor, &options->writer, error);
    if (r < 0)
        return r;
    if (byte_writer_finish(&options->writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the descriptors do not fit the %d bytes of a vbmeta structure",
                         VBMETA_SIZE_MAX);
    return 0;
}

static int add_properties(VbmetaOptions *options, Error *error)
{
    const char *value;
    size_t cursor = 0;

    while ((value = tool_next_option(options->call, "prop", &cursor))) {
        const char *colon = strchr(value, ':');

        if (!colon)
            return refuse_value("prop", "KEY:VALUE", value, error);
        const AvbDescriptor property = {
            .tag = AVB_PROPERTY,
            .property = { { (const uint8_t *)value, (size_t)(colon - value) },
                          avb_bytes_from_string(colon + 1) },
        };
        int r = add_descriptor(options, &property, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_kernel_cmdlines(VbmetaOptions *options, Error *error)
{
    const char *value;
    size_t cursor = 0;

    while ((value = tool_next_option(options->call, "cmdline", &cursor))) {
        const AvbDescriptor cmdline = {
            .tag = AVB_KERNEL_CMDLINE,
            .kernel_cmdline = { 0, avb_bytes_from_string(value) },
        };
        int r = add_descriptor(options, &cmdline, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* NAME:LOCATION:KEY */
static int add_chain_partition(VbmetaOptions *options,
                               const char *value,
                               uint32_t *ret_location,
                               Error *error)
{
    const char *first = strchr(value, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    AvbPublicKey key;
    uint64_t location = 0;

    if (!second)
        return refuse_value("chain", "NAME:LOCATION:KEY", value, error);
    _cleanup_free_ char *number = strndup(first + 1, (size_t)(second - first) - 1);
    if (!number)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (text_parse_u64(number, LOCATION_MAX, &location) < 0)
        return refuse_value("chain", "NAME:LOCATION:KEY", value, error);
    int r = avb_public_key_load(second + 1, &key, error);
    if (r < 0)
        return r;
    const AvbDescriptor chain = {
        .tag = AVB_CHAIN_PARTITION,
        .chain_partition = { .rollback_index_location = (uint32_t)location,
                             .name = { (const uint8_t *)value, (size_t)(first - value) },
                             .public_key = { key.bytes, key.size } },
    };
    *ret_location = (uint32_t)location;
    return add_descriptor(options, &chain, error);
}

/* Each index has a place of its own, that of this structure counted. */
static int add_chain_partitions(VbmetaOptions *options, Error *error)
{
    uint32_t locations[VBMETA_OPTIONS_PARTITIONS_MAX + 1] = {
        options->contents.rollback_index_location
    };
    const char *values[VBMETA_OPTIONS_PARTITIONS_MAX], *value;
    size_t cursor = 0, n = 0;

    while ((value = tool_next_option(options->call, "chain", &cursor))) {
        if (n == VBMETA_OPTIONS_PARTITIONS_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT, "more than %d chain partitions",
                             VBMETA_OPTIONS_PARTITIONS_MAX);
        values[n++] = value;
    }
    qsort(values, n, sizeof(values[0]), compare_strings);
    for (size_t i = 0; i < n; i++) {
        int r = add_chain_partition(options, values[i], &locations[i + 1], error);
        if (r < 0)
            return r;
        for (size_t k = 0; k <= i; k++) {
            if (locations[k] == locations[i + 1])
                return error_set(error, ERROR_INVALID_ARGUMENT,
                                 "rollback index location %" PRIu32 " is used twice", locations[k]);
        }
    }
    return 0;
}

/* --- descriptors of hashes and hash trees, which come last --- */

static int compare_parts(const void *a, const void *b)
{
    static const unsigned ranks[] = {
        [AVB_CHAIN_PARTITION] = 0,
        [AVB_HASH] = 1,
        [AVB_HASHTREE] = 2,
    };
    const VbmetaPart *one = a, *other = b;
    size_t size = one->name.size < other->name.size ? one->name.size : other->name.size;

    if (one->tag != other->tag)
        return ranks[one->tag] < ranks[other->tag] ? -1 : 1;
    int difference = memcmp(one->name.data, other->name.data, size);
    if (difference != 0)
        return difference;
    return (one->name.size > other->name.size) - (one->name.size < other->name.size);
}

/* Its name is found again in the copy, which is all that the part keeps. */
static int add_part(VbmetaOptions *options, const AvbDescriptor *descriptor, Error *error)
{
    _cleanup_free_ uint8_t *bytes = malloc(VBMETA_SIZE_MAX);
    AvbDescriptor copy;

    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (options->n_parts == VBMETA_OPTIONS_PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "more than %d partitions",
                         VBMETA_OPTIONS_PARTITIONS_MAX);
    ByteWriter writer = byte_writer(bytes, VBMETA_SIZE_MAX);
    int r = avb_descriptor_encode(descriptor, &writer, error);
    if (r < 0)
        return r;
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ bytes, writer.size });
    r = avb_descriptor_next(&cursor, &copy, error);
    if (r < 0)
        return r;
    VbmetaPart part = { descriptor->tag, avb_descriptor_get_partition(&copy), bytes, writer.size };
    for (size_t i = 0; i < options->n_parts; i++) {
        if (compare_parts(&options->parts[i], &part) == 0)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "partition '%.*s' has a %s descriptor twice", (int)part.name.size,
                             (const char *)part.name.data, avb_tag_to_string(part.tag));
    }
    options->parts[options->n_parts++] = part;
    (void)TAKE_PTR(bytes);
    return 0;
}

/* NAME:FILE */
static int add_hash(VbmetaOptions *options, const char *value, Error *error)
{
    const char *colon = strchr(value, ':');
    uint8_t digest[AVB_DIGEST_SIZE_MAX];
    AvbDescriptor descriptor = { .tag = AVB_HASH };
    _cleanup_close_ int fd = -EBADF;
    ByteSource source;
    AvbBytes salt;

    if (!colon)
        return refuse_value("hash", "NAME:FILE", value, error);
    _cleanup_free_ char *name = strndup(value, (size_t)(colon - value));
    if (!name)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = vbmeta_options_get_salt(options, &salt, error);
    if (r >= 0)
        r = byte_source_open(colon + 1, &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = avb_partition_make_hash(&source, name, salt, options->call->progress, digest,
                                &descriptor.hash, error);
    return r < 0 ? r : add_part(options, &descriptor, error);
}

static int add_included(VbmetaOptions *options, const char *path, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ uint8_t *data = NULL;
    AvbDescriptor descriptor;
    ByteSource source;
    uint64_t offset;
    Vbmeta vbmeta;
    size_t size;

    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = vbmeta_load(&source, &data, &size, &offset, error);
    if (r >= 0)
        r = vbmeta_parse(data, size, &vbmeta, error);
    /* One that is signed is at least what was signed. */
    if (r >= 0 && vbmeta.algorithm->key_bits > 0)
        r = vbmeta_verify(&vbmeta, NULL, error);
    if (r < 0)
        return r;
    if (vbmeta.version_minor > options->contents.version_minor)
        options->contents.version_minor = vbmeta.version_minor;
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta.descriptors);
    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        r = avb_descriptor_get_partition(&descriptor).size > 0
                ? add_part(options, &descriptor, error)
                : add_descriptor(options, &descriptor, error);
        if (r < 0)
            return r;
    }
    return r;
}

int vbmeta_options_add_descriptors(VbmetaOptions *options, Error *error)
{
    const char *value;
    size_t cursor = 0;

    int r = add_chain_partitions(options, error);
    if (r >= 0)
        r = add_properties(options, error);
    if (r >= 0)
        r = add_kernel_cmdlines(options, error);
    while (r >= 0 && (value = tool_next_option(options->call, "include", &cursor)))
        r = add_included(options, value, error);
    cursor = 0;
    while (r >= 0 && (value = tool_next_option(options->call, "hash", &cursor)))
        r = add_hash(options, value, error);
    if (r < 0)
        return r;
    qsort(options->parts, options->n_parts, sizeof(options->parts[0]), compare_parts);
    for (size_t i = 0; i < options->n_parts; i++)
        byte_writer_put_bytes(&options->writer, options->parts[i].bytes, options->parts[i].size);
    if (byte_writer_finish(&options->writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the descriptors do not fit the %d bytes of a vbmeta structure",
                         VBMETA_SIZE_MAX);
    options->contents.descriptors = (AvbBytes){ options->bytes, options->writer.size };
    return 0;
}
