/* SPDX-License-Identifier: Apache-2.0 */
/* "payload disk": the disk that a guest finds its payload on, in AVF's order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/composite-file.h"
#include "composite-disk/output-file.h"
#include "composite-disk/payload-disk.h"
#include "composite-disk/payload-metadata.h"
#include "composite-disk/tool/verbs.h"

#define METADATA_SUFFIX "-metadata.img"
#define IDSIG_SUFFIX    ".idsig"

/* All files by the role and number of their partition. */
typedef struct PayloadFiles {
    char *metadata; /* owned; made here */
    const char *apk;
    char *idsig; /* owned */
    size_t n_apexes, n_extra_apks;
    const char *apexes[GPT_PARTITIONS_MAX];
    const char *extra_apks[GPT_PARTITIONS_MAX];
    char *extra_idsigs[GPT_PARTITIONS_MAX]; /* owned */
} PayloadFiles;

static void payload_files_deinit(PayloadFiles *files)
{
    free(files->metadata);
    free(files->idsig);
    for (size_t i = 0; i < files->n_extra_apks; i++)
        free(files->extra_idsigs[i]);
}

static char *dup_with_suffix(const char *path, const char *suffix)
{
    char *result;

    return asprintf(&result, "%s%s", path, suffix) < 0 ? NULL : result;
}

/* DISK.img has its metadata in DISK-metadata.img, beside the files that every disk has. */
static char *dup_metadata_path(const char *disk)
{
    size_t length = strlen(disk);
    char *result;

    if (length > 4 && strcmp(disk + length - 4, ".img") == 0)
        length -= 4;
    return asprintf(&result, "%.*s" METADATA_SUFFIX, (int)length, disk) < 0 ? NULL : result;
}

/* NAME:FILE, whose name goes into the metadata. */
static int take_apexes(const ToolCall *call,
                       PayloadFiles *files,
                       PayloadMetadata *metadata,
                       Error *error)
{
    const char *given;
    size_t cursor = 0;

    while ((given = tool_next_option(call, "apex", &cursor))) {
        const char *colon = strchr(given, ':');
        PayloadApex *apex;

        if (!colon || colon == given || colon[1] == '\0')
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "option '--apex' takes NAME:FILE, not '%s'", given);
        if (files->n_apexes == GPT_PARTITIONS_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "there are more APEXes than a disk takes");
        _cleanup_free_ char *name = strndup(given, (size_t)(colon - given));
        if (!name || payload_metadata_add_apex(metadata, name, &apex) < 0)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        files->apexes[files->n_apexes++] = colon + 1;
    }
    return 0;
}

static int take_apks(const ToolCall *call, PayloadFiles *files, Error *error)
{
    const char *extra;
    size_t cursor = 0;

    files->apk = call->arguments[0];
    files->idsig = call->n_arguments > 1 ? strdup(call->arguments[1])
                                         : dup_with_suffix(files->apk, IDSIG_SUFFIX);
    if (!files->idsig)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    while ((extra = tool_next_option(call, "extra-apk", &cursor))) {
        if (files->n_extra_apks == GPT_PARTITIONS_MAX)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "there are more extra APKs than a disk takes");
        files->extra_apks[files->n_extra_apks] = extra;
        files->extra_idsigs[files->n_extra_apks] = dup_with_suffix(extra, IDSIG_SUFFIX);
        if (!files->extra_idsigs[files->n_extra_apks++])
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

static const char *get_file(const PayloadFiles *files, PayloadPartition partition)
{
    const char *by_role[PAYLOAD_PARTITION_ROLE_MAX] = {
        [PAYLOAD_METADATA] = files->metadata,
        [PAYLOAD_APEX] = files->apexes[partition.index],
        [PAYLOAD_APK] = files->apk,
        [PAYLOAD_APK_IDSIG] = files->idsig,
        [PAYLOAD_EXTRA_APK] = files->extra_apks[partition.index],
        [PAYLOAD_EXTRA_IDSIG] = files->extra_idsigs[partition.index],
    };

    return by_role[partition.role];
}

static int write_metadata(const PayloadFiles *files,
                          const PayloadMetadata *metadata,
                          OutputFile *output,
                          Error *error)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    int r = payload_metadata_encode(metadata, &bytes, &size, error);
    if (r >= 0)
        r = output_file_open(files->metadata, false, output, error);
    if (r < 0)
        return r;
    r = fd_write_all(output->fd, bytes, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", files->metadata);
    return output_file_commit(output, error);
}

static int make_disk(const ToolCall *call,
                     const char *path,
                     const PayloadFiles *files,
                     Error *error)
{
    const CompositeFileOptions options = { .format = COMPOSITE_FILE_CROSVM,
                                           .sector_size = GPT_SECTOR_SIZE };
    size_t n = payload_disk_count(files->n_apexes, files->n_extra_apks);
    CompositeFilePartition partitions[GPT_PARTITIONS_MAX] = { 0 };
    char labels[GPT_PARTITIONS_MAX][PAYLOAD_LABEL_SIZE];
    CompositeFileResult result;

    if (n > GPT_PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "APEXes and APKs make %zu partitions, and a disk takes %d", n,
                         GPT_PARTITIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        PayloadPartition partition =
            payload_disk_get_partition(files->n_apexes, files->n_extra_apks, i);

        payload_partition_make_label(partition, labels[i]);
        partitions[i].label = labels[i];
        partitions[i].file = get_file(files, partition);
    }
    int r = composite_file_create(path, partitions, n, &options, &result, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "disk", path);
    tool_add_number(call->result, "size", result.disk_size);
    tool_add_string(call->result, "metadata", files->metadata);
    return 0;
}

static int new_metadata(const ToolCall *call,
                        size_t n_extra_apks,
                        PayloadMetadata **ret,
                        Error *error)
{
    const char *config = tool_get_option(call, "config"), *binary = tool_get_option(call, "binary");

    if (!config == !binary)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "one of '--config=PATH' and '--binary=NAME' is needed");
    return payload_metadata_new(config, binary, binary ? (uint32_t)n_extra_apks : 0, ret) < 0
               ? error_set(error, ERROR_NO_MEMORY, "out of memory")
               : 0;
}

static int run_disk(ToolCall *call, Error *error)
{
    const char *path = tool_get_option(call, "output");
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL;
    _cleanup_(output_file_deinit) OutputFile output = OUTPUT_FILE_INIT;
    _cleanup_(payload_files_deinit) PayloadFiles files = { 0 };

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'payload disk' needs '-o DISK'");
    files.metadata = dup_metadata_path(path);
    if (!files.metadata)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = take_apks(call, &files, error);
    if (r >= 0)
        r = new_metadata(call, files.n_extra_apks, &metadata, error);
    if (r >= 0)
        r = take_apexes(call, &files, metadata, error);
    if (r >= 0)
        r = write_metadata(&files, metadata, &output, error);
    if (r < 0)
        return r;
    r = make_disk(call, path, &files, error);
    if (r < 0)
        output_file_withdraw(&output);
    return r;
}

const ToolVerb payload_disk_verbs[] = {
    { .name = "payload disk",
      .arguments = "APK [IDSIG]",
      .summary = "make the disk that a guest finds its payload on",
      .n_min = 1,
      .n_max = 2,
      .options = { { "output", 'o', "DISK", "the disk's descriptor; its other files go beside it" },
                   { "config", 0, "PATH", "what is run: a config file, by its path in the guest" },
                   { "binary", 0, "NAME", "what is run: a program, by its name in the APK" },
                   { "extra-apk", 0, "APK", "one more, with APK.idsig; once for each" },
                   { "apex", 0, "NAME:FILE", "an APEX; once for each" } },
      .run = run_disk },
    { .name = NULL },
};
