/* SPDX-License-Identifier: Apache-2.0 */
/* "create" and "append": disks made of partition files. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/composite-file.h"
#include "composite-disk/tool/partition-argument.h"
#include "composite-disk/tool/verbs.h"

typedef struct PartitionArguments {
    PartitionArgument *arguments;
    CompositeFilePartition *partitions;
    size_t n;
} PartitionArguments;

static void partition_arguments_deinit(PartitionArguments *all)
{
    for (size_t i = 0; i < all->n; i++)
        partition_argument_deinit(&all->arguments[i]);
    free(all->arguments);
    free(all->partitions);
}

static int parse_partitions(char **words, size_t n, PartitionArguments *all, Error *error)
{
    all->arguments = calloc(n + 1, sizeof(*all->arguments));
    all->partitions = calloc(n + 1, sizeof(*all->partitions));
    if (!all->arguments || !all->partitions)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (; all->n < n; all->n++) {
        int r = partition_argument_parse(words[all->n], &all->arguments[all->n], error);
        if (r < 0)
            return r;
        all->partitions[all->n] = all->arguments[all->n].partition;
    }
    return 0;
}

static int get_options(const ToolCall *call, CompositeFileOptions *options, Error *error)
{
    const char *format = tool_get_option(call, "format");
    const char *sector_size = tool_get_option(call, "sector-size");

    options->replace = tool_get_option(call, "force") != NULL;
    options->sector_size = GPT_SECTOR_SIZE;
    if (format && composite_file_format_from_string(format, &options->format) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--format' takes 'crosvm', 'vmdk' or 'device-mapper', not '%s'",
                         format);
    if (sector_size && strcmp(sector_size, "4096") == 0)
        options->sector_size = GPT_SECTOR_SIZE_MAX;
    else if (sector_size && strcmp(sector_size, "512") != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--sector-size' takes 512 or 4096, not '%s'", sector_size);
    return 0;
}

static void add_result(ToolCall *call, const char *path, const CompositeFileResult *result)
{
    tool_add_string(call->result, "disk", path);
    tool_add_number(call->result, "size", result->disk_size);
    tool_add_number(call->result, "written", result->bytes_written);
}

static int run_create(ToolCall *call, Error *error)
{
    _cleanup_(partition_arguments_deinit) PartitionArguments all = { 0 };
    const char *path = tool_get_option(call, "output");
    CompositeFileOptions options = { 0 };
    CompositeFileResult result;

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'create' needs '-o DISK'");
    int r = get_options(call, &options, error);
    if (r >= 0)
        r = parse_partitions(call->arguments, call->n_arguments, &all, error);
    if (r >= 0)
        r = composite_file_create(path, all.partitions, all.n, &options, &result, error);
    if (r >= 0)
        add_result(call, path, &result);
    return r;
}

static int run_append(ToolCall *call, Error *error)
{
    _cleanup_(partition_arguments_deinit) PartitionArguments all = { 0 };
    const char *path = call->arguments[0];
    CompositeFileResult result;

    int r = parse_partitions(call->arguments + 1, call->n_arguments - 1, &all, error);
    if (r >= 0)
        r = composite_file_append(path, all.partitions, all.n, &result, error);
    if (r >= 0)
        add_result(call, path, &result);
    return r;
}

const ToolVerb disk_verbs[] = {
    { .name = "create",
      .arguments = "LABEL=FILE[:ro|:rw][,type=NAME][,guid=UUID][,attributes=NAME+NAME...]...",
      .summary = "make a disk of partition files, which it names and does not copy",
      .n_min = 1,
      .n_max = GPT_PARTITIONS_MAX,
      .options = { { "output", 'o', "DISK", "the disk's descriptor; its other files go beside it" },
                   { "format", 0, "FORMAT", "\"crosvm\" (default), \"vmdk\" or \"device-mapper\"" },
                   { "sector-size", 0, "BYTES", "of the guest's disk: 512 (default) or 4096" },
                   { "force", 'f', NULL, "replace a disk that is there" } },
      .run = run_create },
    { .name = "append",
      .arguments = "DISK LABEL=FILE[:ro|:rw][,type=NAME][,guid=UUID][,attributes=NAME+NAME...]...",
      .summary = "add partitions to a disk that 'create' has made",
      .n_min = 2,
      .n_max = GPT_PARTITIONS_MAX,
      .run = run_append },
    { .name = NULL },
};
