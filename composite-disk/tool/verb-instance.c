/* SPDX-License-Identifier: Apache-2.0 */
/* "instance": images of the kind that a guest keeps its identity in. */
#include <errno.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/instance-image.h"
#include "composite-disk/output-file.h"
#include "composite-disk/partition-file.h"
#include "composite-disk/tool/verbs.h"

/* What AVF's clients give an instance image. Source: AOSP, packages/modules/Virtualization,
 * android/vm/src/run.rs, create_partition(). */
#define DEFAULT_SIZE (UINT64_C(10) << 20)

static int run_create(ToolCall *call, Error *error)
{
    const char *path = call->arguments[0];
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    uint64_t size;

    int r = tool_get_number(call, "size", INT64_MAX - PARTITION_IMAGE_ALIGNMENT, DEFAULT_SIZE,
                            &size, error);
    if (r < 0)
        return r;
    if (partition_image_round_size(size, &size) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "an instance image cannot have %ju bytes",
                         (uintmax_t)size);
    r = output_file_open(path, tool_get_option(call, "force") != NULL, &file, error);
    if (r >= 0)
        r = partition_file_initialize(file.fd, PARTITION_ANDROID_VM_INSTANCE, size, error);
    if (r >= 0)
        r = output_file_commit(&file, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "image", path);
    tool_add_number(call->result, "size", size);
    return 0;
}

static void add_record(struct json_object *records, const InstanceRecord *record)
{
    struct json_object *row = json_object_new_object();
    const char *owner = instance_record_get_owner(record->uuid);
    char uuid[GUID_STRING_SIZE];

    guid_to_string(record->uuid, uuid);
    tool_add_string(row, "uuid", uuid);
    (void)json_object_object_add(row, "owner", owner ? json_object_new_string(owner) : NULL);
    tool_add_number(row, "offset", record->offset);
    tool_add_number(row, "size", record->payload_size);
    tool_add_bool(row, "unknown-bytes", instance_record_has_unknown_bytes(record));
    (void)json_object_array_add(records, row);
}

static int run_list(ToolCall *call, Error *error)
{
    _cleanup_(instance_image_freep) InstanceImage *image = NULL;
    _cleanup_close_ int fd = -EBADF;
    ByteSource source;

    int r = byte_source_open(call->arguments[0], &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = instance_image_read(&source, &image, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "image", call->arguments[0]);
    tool_add_number(call->result, "size", image->size);
    tool_add_number(call->result, "used", image->end_offset);
    struct json_object *records = tool_add_array(call->result, "records");
    for (size_t i = 0; i < image->n_records; i++)
        add_record(records, &image->records[i]);
    return 0;
}

const ToolVerb instance_verbs[] = {
    { .name = "instance create",
      .arguments = "FILE",
      .summary = "make a new instance image without records",
      .n_min = 1,
      .n_max = 1,
      .options = { { "size", 0, "BYTES", "its size, rounded up to 4096 (default: 10 MiB)" },
                   { "force", 'f', NULL, "replace a file that is there" } },
      .run = run_create },
    { .name = "instance list",
      .arguments = "FILE",
      .summary = "show the records of an instance image",
      .n_min = 1,
      .n_max = 1,
      .run = run_list },
    { .name = NULL },
};
