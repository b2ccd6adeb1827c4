/* SPDX-License-Identifier: Apache-2.0 */
/* "vbmeta make" and "vbmeta add-hashtree". Descriptors are put into the order that avbtool puts
 * them into: chain partitions by name, properties, command lines; then those of other images, of
 * which hashes and hash trees come last, by kind and name. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/random.h"
#include "common/text.h"
#include "composite-disk/avb-image.h"
#include "composite-disk/avb-partition.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/image-copy.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/verbs.h"
#include "composite-disk/vbmeta-make.h"
#include "config.h"

#define RELEASE        "composite-disk " PACKAGE_VERSION
#define SALT_SIZE      32 /* of one that is made here */
#define PARTITIONS_MAX 64
#define LOCATION_MAX   UINT32_MAX

/* An encoded descriptor of a partition. */
typedef struct Part {
    uint64_t tag;
    AvbBytes name; /* in bytes */
    uint8_t *bytes;
    size_t size;
} Part;

typedef struct Build {
    ToolCall *call;
    SigningKey *key;
    VbmetaContents contents;
    uint8_t *bytes;
    ByteWriter writer; /* of the descriptors, into bytes */
    size_t n_parts;
    Part parts[PARTITIONS_MAX];
    uint8_t salt[AVB_SALT_SIZE_MAX];
} Build;

static Build *build_free(Build *build)
{
    if (!build)
        return NULL;
    signing_key_free(build->key);
    for (size_t i = 0; i < build->n_parts; i++)
        free(build->parts[i].bytes);
    free(build->bytes);
    free(build);
    return NULL;
}
DEFINE_CLEANUP(Build, build_free);

/* --- options --- */

static int refuse_value(const char *option, const char *form, const char *value, Error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, "option '--%s' takes %s, not '%s'", option,
                     form, value);
}

/* NUMBER[:LOCATION] */
static int take_rollback_index(Build *build, Error *error)
{
    const char *value = tool_get_option(build->call, "rollback-index");
    uint64_t location = 0;

    if (!value)
        return 0;
    const char *colon = strchr(value, ':');
    _cleanup_free_ char *number = strndup(value, colon ? (size_t)(colon - value) : strlen(value));
    if (!number)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (text_parse_u64(number, UINT64_MAX, &build->contents.rollback_index) < 0 ||
        (colon && text_parse_u64(colon + 1, LOCATION_MAX, &location) < 0))
        return refuse_value("rollback-index", "NUMBER[:LOCATION]", value, error);
    build->contents.rollback_index_location = (uint32_t)location;
    return 0;
}

static int take_algorithm(Build *build, Error *error)
{
    const char *path = tool_get_option(build->call, "key");
    const char *name = tool_get_option(build->call, "algorithm");

    if (path) {
        int r = signing_key_load(path, NULL, &build->key, error);
        if (r < 0)
            return r;
    }
    build->contents.key = build->key;
    if (name)
        build->contents.algorithm = vbmeta_algorithm_find_name(name);
    else
        build->contents.algorithm =
            path ? vbmeta_algorithm_find_bits(EVP_PKEY_get_bits(build->key->key))
                 : vbmeta_algorithm_find(0);
    if (!build->contents.algorithm && name)
        return refuse_value(
            "algorithm", "NONE or SHA256_ or SHA512_ and RSA2048, RSA4096 or RSA8192", name, error);
    if (!build->contents.algorithm)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the key in '%s' has %d bits; AVB has RSA keys of 2048, 4096 and 8192",
                         path, EVP_PKEY_get_bits(build->key->key));
    return 0;
}

static int build_new(ToolCall *call, Build **ret_build, Error *error)
{
    _cleanup_(build_freep) Build *build = calloc(1, sizeof(*build));

    if (build)
        build->bytes = malloc(VBMETA_SIZE_MAX);
    if (!build || !build->bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    build->call = call;
    build->writer = byte_writer(build->bytes, VBMETA_SIZE_MAX);
    build->contents.release = RELEASE;
    int r = take_algorithm(build, error);
    if (r >= 0)
        r = take_rollback_index(build, error);
    if (r < 0)
        return r;
    *ret_build = TAKE_PTR(build);
    return 0;
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)tolower((unsigned char)digit);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The salt that was given, or a random one. */
static int take_salt(Build *build, AvbBytes *ret_salt, Error *error)
{
    const char *text = tool_get_option(build->call, "salt");

    if (!text) {
        int r = random_fill(build->salt, SALT_SIZE);
        *ret_salt = (AvbBytes){ build->salt, SALT_SIZE };
        return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "no random bytes for a salt") : 0;
    }
    size_t length = strlen(text);
    if (length % 2 != 0 || length / 2 > sizeof(build->salt))
        return refuse_value("salt", "0 to 256 bytes in hexadecimal", text, error);
    for (size_t i = 0; i < length / 2; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return refuse_value("salt", "0 to 256 bytes in hexadecimal", text, error);
        build->salt[i] = (uint8_t)(high << 4 | low);
    }
    *ret_salt = (AvbBytes){ build->salt, length / 2 };
    return 0;
}

/* --- descriptors --- */

static int add_descriptor(Build *build, const AvbDescriptor *descriptor, Error *error)
{
    int r = avb_descriptor_encode(descriptor, &build->writer, error);
    if (r < 0)
        return r;
    if (byte_writer_finish(&build->writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the descriptors do not fit the %d bytes of a vbmeta structure",
                         VBMETA_SIZE_MAX);
    return 0;
}

static int add_properties(Build *build, Error *error)
{
    const char *value;
    size_t cursor = 0;

    while ((value = tool_next_option(build->call, "prop", &cursor))) {
        const char *colon = strchr(value, ':');

        if (!colon)
            return refuse_value("prop", "KEY:VALUE", value, error);
        const AvbDescriptor property = {
            .tag = AVB_PROPERTY,
            .property = { { (const uint8_t *)value, (size_t)(colon - value) },
                          avb_bytes_from_string(colon + 1) },
        };
        int r = add_descriptor(build, &property, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_kernel_cmdlines(Build *build, Error *error)
{
    const char *value;
    size_t cursor = 0;

    while ((value = tool_next_option(build->call, "cmdline", &cursor))) {
        const AvbDescriptor cmdline = {
            .tag = AVB_KERNEL_CMDLINE,
            .kernel_cmdline = { 0, avb_bytes_from_string(value) },
        };
        int r = add_descriptor(build, &cmdline, error);
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
static int add_chain_partition(Build *build,
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
    return add_descriptor(build, &chain, error);
}

/* Each index has a place of its own, that of this structure counted. */
static int add_chain_partitions(Build *build, Error *error)
{
    uint32_t locations[PARTITIONS_MAX + 1] = { build->contents.rollback_index_location };
    const char *values[PARTITIONS_MAX], *value;
    size_t cursor = 0, n = 0;

    while ((value = tool_next_option(build->call, "chain", &cursor))) {
        if (n == PARTITIONS_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT, "more than %d chain partitions",
                             PARTITIONS_MAX);
        values[n++] = value;
    }
    qsort(values, n, sizeof(values[0]), compare_strings);
    for (size_t i = 0; i < n; i++) {
        int r = add_chain_partition(build, values[i], &locations[i + 1], error);
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
    const Part *one = a, *other = b;
    size_t size = one->name.size < other->name.size ? one->name.size : other->name.size;

    if (one->tag != other->tag)
        return ranks[one->tag] < ranks[other->tag] ? -1 : 1;
    int difference = memcmp(one->name.data, other->name.data, size);
    if (difference != 0)
        return difference;
    return (one->name.size > other->name.size) - (one->name.size < other->name.size);
}

/* Its name is found again in the copy, which is all that the part keeps. */
static int add_part(Build *build, const AvbDescriptor *descriptor, Error *error)
{
    _cleanup_free_ uint8_t *bytes = malloc(VBMETA_SIZE_MAX);
    AvbDescriptor copy;

    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (build->n_parts == PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "more than %d partitions", PARTITIONS_MAX);
    ByteWriter writer = byte_writer(bytes, VBMETA_SIZE_MAX);
    int r = avb_descriptor_encode(descriptor, &writer, error);
    if (r < 0)
        return r;
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ bytes, writer.size });
    r = avb_descriptor_next(&cursor, &copy, error);
    if (r < 0)
        return r;
    Part part = { descriptor->tag, avb_descriptor_get_partition(&copy), bytes, writer.size };
    for (size_t i = 0; i < build->n_parts; i++) {
        if (compare_parts(&build->parts[i], &part) == 0)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "partition '%.*s' has a %s descriptor twice", (int)part.name.size,
                             (const char *)part.name.data, avb_tag_to_string(part.tag));
    }
    build->parts[build->n_parts++] = part;
    (void)TAKE_PTR(bytes);
    return 0;
}

/* NAME:FILE */
static int add_hash(Build *build, const char *value, Error *error)
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
    int r = take_salt(build, &salt, error);
    if (r >= 0)
        r = byte_source_open(colon + 1, &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = avb_partition_make_hash(&source, name, salt, build->call->progress, digest,
                                &descriptor.hash, error);
    return r < 0 ? r : add_part(build, &descriptor, error);
}

static int add_included(Build *build, const char *path, Error *error)
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
    if (vbmeta.version_minor > build->contents.version_minor)
        build->contents.version_minor = vbmeta.version_minor;
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta.descriptors);
    while ((r = avb_descriptor_next(&cursor, &descriptor, error)) > 0) {
        r = avb_descriptor_get_partition(&descriptor).size > 0
                ? add_part(build, &descriptor, error)
                : add_descriptor(build, &descriptor, error);
        if (r < 0)
            return r;
    }
    return r;
}

static int add_all(Build *build, Error *error)
{
    const char *value;
    size_t cursor = 0;

    int r = add_chain_partitions(build, error);
    if (r >= 0)
        r = add_properties(build, error);
    if (r >= 0)
        r = add_kernel_cmdlines(build, error);
    while (r >= 0 && (value = tool_next_option(build->call, "include", &cursor)))
        r = add_included(build, value, error);
    cursor = 0;
    while (r >= 0 && (value = tool_next_option(build->call, "hash", &cursor)))
        r = add_hash(build, value, error);
    if (r < 0)
        return r;
    qsort(build->parts, build->n_parts, sizeof(build->parts[0]), compare_parts);
    for (size_t i = 0; i < build->n_parts; i++)
        byte_writer_put_bytes(&build->writer, build->parts[i].bytes, build->parts[i].size);
    if (byte_writer_finish(&build->writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the descriptors do not fit the %d bytes of a vbmeta structure",
                         VBMETA_SIZE_MAX);
    build->contents.descriptors = (AvbBytes){ build->bytes, build->writer.size };
    return 0;
}

/* --- make --- */

static int write_output(ToolCall *call, const uint8_t *data, size_t size, Error *error)
{
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    const char *path = tool_get_option(call, "output");

    int r = output_file_open(path, tool_get_option(call, "force") != NULL, &file, error);
    if (r < 0)
        return r;
    r = fd_write_all(file.fd, data, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", path);
    return output_file_commit(&file, error);
}

static int run_make(ToolCall *call, Error *error)
{
    _cleanup_(build_freep) Build *build = NULL;
    _cleanup_free_ uint8_t *data = NULL;
    uint64_t flags = 0;
    size_t size;

    if (!tool_get_option(call, "output"))
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--output' is needed");
    int r = tool_get_number(call, "flags", UINT32_MAX, 0, &flags, error);
    if (r >= 0)
        r = build_new(call, &build, error);
    if (r < 0)
        return r;
    build->contents.flags = (uint32_t)flags;
    r = add_all(build, error);
    if (r >= 0)
        r = vbmeta_make(&build->contents, &data, &size, error);
    if (r >= 0)
        r = write_output(call, data, size, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "vbmeta", tool_get_option(call, "output"));
    tool_add_number(call->result, "size", size);
    tool_add_string(call->result, "algorithm", build->contents.algorithm->name);
    return 0;
}

/* --- add-hashtree --- */

/* The image, without what was appended to it before, in a file without a name. */
static int copy_image(ToolCall *call, OutputFile *file, Error *error)
{
    const char *path = tool_get_option(call, "output");
    _cleanup_close_ int fd = -EBADF;
    AvbFooter footer;
    ByteSource source;

    int r = byte_source_open(call->arguments[0], &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = avb_footer_read(&source, &footer, error);
    if (r > 0)
        r = byte_source_slice(&source, 0, footer.image_size, &source); /* the footer was checked */
    if (r >= 0)
        r = output_file_open(path, tool_get_option(call, "force") != NULL, file, error);
    return r < 0 ? r : image_copy(&source, file->fd, path, call->progress, error);
}

static void tell_image(struct json_object *result, const char *path, const AvbImage *image)
{
    const AvbHashtree *tree = &image->tree;

    tool_add_string(result, "image", path);
    tool_add_text(result, "partition", tree->name.data, tree->name.size);
    tool_add_number(result, "partition-size", image->partition_size);
    tool_add_number(result, "data-blocks", tree->image_size / tree->data_block_size);
    tool_add_number(result, "hash-offset", tree->tree_offset);
    tool_add_number(result, "hash-size", tree->tree_size);
    tool_add_hex(result, "salt", tree->salt.data, tree->salt.size);
    tool_add_hex(result, "root-digest", tree->digest.data, tree->digest.size);
    tool_add_number(result, "vbmeta-offset", image->footer.vbmeta_offset);
    tool_add_number(result, "vbmeta-size", image->footer.vbmeta_size);
}

static int open_in_place(const char *path, OutputFile *file, Error *error)
{
    file->fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file->fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open '%s'", path);
    return 0;
}

static int run_add_hashtree(ToolCall *call, Error *error)
{
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    _cleanup_(build_freep) Build *build = NULL;
    const char *path = tool_get_option(call, "output");
    bool in_place = tool_get_option(call, "in-place") != NULL;
    AvbImageOptions options = { .name = tool_get_option(call, "name"), .progress = call->progress };
    AvbImage image;

    if (!options.name)
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--name' is needed");
    if ((path != NULL) == in_place)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "either '--output' or '--in-place' is needed");
    int r = tool_get_number(call, "partition-size", INT64_MAX, 0, &options.partition_size, error);
    if (r >= 0)
        r = build_new(call, &build, error);
    if (r >= 0)
        r = take_salt(build, &options.salt, error);
    if (r >= 0)
        r = add_all(build, error);
    if (r >= 0)
        r = in_place ? open_in_place(call->arguments[0], &file, error)
                     : copy_image(call, &file, error);
    if (r < 0)
        return r;

    options.contents = &build->contents;
    path = in_place ? call->arguments[0] : path;
    r = avb_image_add_hashtree(file.fd, path, &options, &image, error);
    if (r >= 0 && !in_place)
        r = output_file_commit(&file, error);
    if (r < 0)
        return r;
    tell_image(call->result, path, &image);
    return 0;
}

const ToolVerb vbmeta_make_verbs[] = {
    { .name = "vbmeta make",
      .arguments = "-o FILE",
      .summary = "make a vbmeta structure and sign it",
      .options = { { "output", 'o', "FILE", "the file to make" },
                   { "force", 'f', NULL, "replace a file that is there" },
                   { "key", 0, "FILE", "sign with this RSA key (PEM); without one: not signed" },
                   { "algorithm", 0, "NAME", "such as SHA512_RSA4096 (default: the key's SHA256)" },
                   { "rollback-index", 0, "N[:LOCATION]", "rollback index and its location" },
                   { "flags", 0, "NUMBER", "1: no hash trees, 2: no verification" },
                   { "prop", 0, "KEY:VALUE", "add a property" },
                   { "cmdline", 0, "TEXT", "add to the kernel's command line" },
                   { "chain", 0, "NAME:LOCATION:KEY", "a partition with its own structure" },
                   { "hash", 0, "NAME:FILE", "add the hash of a partition" },
                   { "include", 0, "FILE", "add the descriptors of FILE or behind its image" },
                   { "salt", 0, "HEX", "of the hashes (default: random)" } },
      .run = run_make },
    { .name = "vbmeta add-hashtree",
      .arguments = "--name=NAME {-o FILE|--in-place} IMAGE",
      .summary = "append hash tree, vbmeta and footer to an image",
      .n_min = 1,
      .n_max = 1,
      .options = { { "output", 'o', "FILE", "the file to make" },
                   { "force", 'f', NULL, "replace a file that is there" },
                   { "in-place", 0, NULL, "change IMAGE itself" },
                   { "name", 0, "NAME", "of the partition" },
                   { "partition-size", 0, "BYTES", "its size (default: the smallest)" },
                   { "salt", 0, "HEX", "of the hash tree (default: random)" },
                   { "key", 0, "FILE", "sign with this RSA key (PEM); without one: not signed" },
                   { "algorithm", 0, "NAME", "such as SHA512_RSA4096 (default: the key's SHA256)" },
                   { "rollback-index", 0, "N[:LOCATION]", "rollback index and its location" },
                   { "prop", 0, "KEY:VALUE", "add a property" },
                   { "cmdline", 0, "TEXT", "add to the kernel's command line" } },
      .run = run_add_hashtree },
    { .name = NULL },
};
