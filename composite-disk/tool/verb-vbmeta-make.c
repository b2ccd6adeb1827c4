/* SPDX-License-Identifier: Apache-2.0 */
/* "vbmeta make", "vbmeta add-hashtree" and "vbmeta export-key". */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/avb-image.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/image-copy.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/vbmeta-options.h"
#include "composite-disk/tool/verbs.h"

/* --- make --- */

static int write_output(ToolCall *call, const uint8_t *data, size_t size, Error *error)
{
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    const char *path = tool_get_option(call, "output");

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--output' is needed");
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
    _cleanup_(vbmeta_options_freep) VbmetaOptions *options = NULL;
    _cleanup_free_ uint8_t *data = NULL;
    uint64_t flags = 0;
    size_t size;

    if (!tool_get_option(call, "output"))
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--output' is needed");
    int r = tool_get_number(call, "flags", UINT32_MAX, 0, &flags, error);
    if (r >= 0)
        r = vbmeta_options_new(call, &options, error);
    if (r < 0)
        return r;
    options->contents.flags = (uint32_t)flags;
    r = vbmeta_options_add_descriptors(options, error);
    if (r >= 0)
        r = vbmeta_make(&options->contents, &data, &size, error);
    if (r >= 0)
        r = write_output(call, data, size, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "vbmeta", tool_get_option(call, "output"));
    tool_add_number(call->result, "size", size);
    tool_add_string(call->result, "algorithm", options->contents.algorithm->name);
    return 0;
}

/* --- export-key --- */

static int run_export_key(ToolCall *call, Error *error)
{
    AvbPublicKey key;

    int r = avb_public_key_load(call->arguments[0], &key, error);
    if (r >= 0)
        r = write_output(call, key.bytes, key.size, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "key", tool_get_option(call, "output"));
    tool_add_number(call->result, "size", key.size);
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
    _cleanup_(vbmeta_options_freep) VbmetaOptions *options = NULL;
    const char *path = tool_get_option(call, "output");
    bool in_place = tool_get_option(call, "in-place") != NULL;
    AvbImageOptions image_options = { .name = tool_get_option(call, "name"),
                                      .progress = call->progress };
    AvbImage image;

    if (!image_options.name)
        return error_set(error, ERROR_INVALID_ARGUMENT, "option '--name' is needed");
    if ((path != NULL) == in_place)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "either '--output' or '--in-place' is needed");
    int r =
        tool_get_number(call, "partition-size", INT64_MAX, 0, &image_options.partition_size, error);
    if (r >= 0)
        r = vbmeta_options_new(call, &options, error);
    if (r >= 0)
        r = vbmeta_options_get_salt(options, &image_options.salt, error);
    if (r >= 0)
        r = vbmeta_options_add_descriptors(options, error);
    if (r >= 0)
        r = in_place ? open_in_place(call->arguments[0], &file, error)
                     : copy_image(call, &file, error);
    if (r < 0)
        return r;

    image_options.contents = &options->contents;
    path = in_place ? call->arguments[0] : path;
    r = avb_image_add_hashtree(file.fd, path, &image_options, &image, error);
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
    { .name = "vbmeta export-key",
      .arguments = "-o FILE KEY",
      .summary = "write the public key of a PEM file as vbmeta has it",
      .n_min = 1,
      .n_max = 1,
      .options = { { "output", 'o', "FILE", "the file to make" },
                   { "force", 'f', NULL, "replace a file that is there" } },
      .run = run_export_key },
    { .name = NULL },
};
