/* SPDX-License-Identifier: Apache-2.0 */
/* "payload metadata" and "payload info": the first partition of a payload disk. */
#include <errno.h>
#include <stdlib.h>

#include "common/fd.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/output-file.h"
#include "composite-disk/payload-metadata.h"
#include "composite-disk/tool/verbs.h"

#define PARTITION_MAX (PAYLOAD_METADATA_MAX + (1U << 20)) /* with the zeros behind it */

static int make_metadata(const ToolCall *call, PayloadMetadata **ret_metadata, Error *error)
{
    const char *config = tool_get_option(call, "config"), *binary = tool_get_option(call, "binary");
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    PayloadApex *apex;
    uint64_t n_extra_apks;
    size_t cursor = 0;

    int r = tool_get_number(call, "extra-apks", PAYLOAD_EXTRA_APKS_MAX, 0, &n_extra_apks, error);
    if (r < 0)
        return r;
    if (!config == !binary)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "one of '--config=PATH' and '--binary=NAME' is needed");
    if (config && n_extra_apks > 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "extra APKs are the config's to name: '--extra-apks' is for '--binary'");
    r = payload_metadata_new(config, binary, (uint32_t)n_extra_apks, &metadata);
    for (const char *name; r >= 0 && (name = tool_next_option(call, "apex", &cursor));)
        r = payload_metadata_add_apex(metadata, name, &apex);
    if (r < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}

static int run_metadata(ToolCall *call, Error *error)
{
    const char *path = call->arguments[0];
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    int r = make_metadata(call, &metadata, error);
    if (r >= 0)
        r = payload_metadata_encode(metadata, &bytes, &size, error);
    if (r >= 0)
        r = output_file_open(path, tool_get_option(call, "force") != NULL, &file, error);
    if (r < 0)
        return r;
    r = fd_write_all(file.fd, bytes, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", path);
    r = output_file_commit(&file, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "metadata", path);
    tool_add_number(call->result, "size", size);
    return 0;
}

static int read_all(const char *path, uint8_t **ret_bytes, size_t *ret_size, Error *error)
{
    ByteSource source;

    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = byte_source_read_all(&source, PARTITION_MAX, ret_bytes);
    if (r == -EFBIG)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "'%s' has %ju bytes; payload metadata has at most %u", path,
                         (uintmax_t)source.size, PARTITION_MAX);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", path);
    *ret_size = (size_t)source.size;
    return 0;
}

static void add_apexes(struct json_object *result, const PayloadMetadata *metadata)
{
    struct json_object *apexes = tool_add_array(result, "apexes");

    for (size_t i = 0; i < metadata->n_apexes; i++) {
        const PayloadApex *apex = &metadata->apexes[i];
        struct json_object *row = json_object_new_object();

        tool_add_string(row, "name", apex->name);
        tool_add_string(row, "partition", apex->partition);
        tool_add_bool(row, "factory", apex->is_factory);
        tool_add_number(row, "last-update", apex->last_update_seconds);
        (void)json_object_array_add(apexes, row);
    }
}

static int run_info(ToolCall *call, Error *error)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0;

    int r = read_all(call->arguments[0], &bytes, &size, error);
    if (r >= 0)
        r = payload_metadata_decode(bytes, size, &metadata, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", metadata->apk_name);
    tool_add_string(call->result, "apk-partition", metadata->apk_partition);
    tool_add_string(call->result, "idsig-partition", metadata->idsig_partition);
    if (metadata->config_path) {
        tool_add_string(call->result, "config", metadata->config_path);
    } else {
        tool_add_string(call->result, "binary", metadata->binary);
        tool_add_number(call->result, "extra-apks", metadata->n_extra_apks);
    }
    add_apexes(call->result, metadata);
    return 0;
}

const ToolVerb payload_metadata_verbs[] = {
    { .name = "payload metadata",
      .arguments = "FILE",
      .summary = "make the partition payload-metadata of a payload disk",
      .n_min = 1,
      .n_max = 1,
      .options = { { "config", 0, "PATH", "what is run: a config file, by its path in the guest" },
                   { "binary", 0, "NAME", "what is run: a program, by its name in the APK" },
                   { "extra-apks", 0, "NUMBER", "how many extra APKs there are (default: 0)" },
                   { "apex", 0, "NAME", "an APEX, once for each, in the order of partitions" },
                   { "force", 'f', NULL, "replace a file that is there" } },
      .run = run_metadata },
    { .name = "payload info",
      .arguments = "FILE",
      .summary = "show what a partition payload-metadata says",
      .n_min = 1,
      .n_max = 1,
      .run = run_info },
    { .name = NULL },
};
