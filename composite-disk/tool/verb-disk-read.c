/* SPDX-License-Identifier: Apache-2.0 */
/* "info", "check" and "extract": what a disk is made of, and what is on it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/composite-image.h"
#include "composite-disk/composite-layout.h"
#include "composite-disk/gpt-type.h"
#include "composite-disk/image-format.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/partition-argument.h"
#include "composite-disk/tool/verbs.h"

#define COPY_CHUNK (UINT64_C(1) << 20)
#define HOLE_CHUNK 4096

/* --- info --- */

static void add_guid(struct json_object *object, const char *key, const uint8_t *guid)
{
    char text[GUID_STRING_SIZE];

    guid_to_string(guid, text);
    tool_add_string(object, key, text);
}

static void add_components(struct json_object *result, const CompositeDescriptor *descriptor)
{
    struct json_object *array = tool_add_array(result, "components");

    for (size_t i = 0; i < descriptor->n_components; i++) {
        const CompositeComponent *component = &descriptor->components[i];
        struct json_object *row = json_object_new_object();

        tool_add_number(row, "offset", component->offset);
        tool_add_number(row, "size", component->size);
        tool_add_string(row, "access", component->writable ? "rw" : "ro");
        tool_add_number(row, "file-offset", component->file_offset);
        tool_add_string(row, "path", component->path);
        (void)json_object_array_add(array, row);
    }
}

static void add_partitions(struct json_object *result, const GptTable *table)
{
    struct json_object *array = tool_add_array(result, "partitions");

    for (size_t i = 0; i < table->n_partitions; i++) {
        const GptPartition *partition = &table->partitions[i];
        _cleanup_free_ char *attributes = partition_attributes_to_string(partition->attributes);
        const char *type = gpt_type_to_string(partition->type);
        struct json_object *row = json_object_new_object();

        tool_add_string(row, "label", partition->label);
        tool_add_number(row, "offset", partition->offset);
        tool_add_number(row, "size", partition->size);
        if (type)
            tool_add_string(row, "type", type);
        else
            add_guid(row, "type", partition->type);
        add_guid(row, "guid", partition->guid);
        tool_add_string(row, "attributes", attributes ? attributes : "");
        (void)json_object_array_add(array, row);
    }
}

static void add_table(struct json_object *result, const GptTable *table)
{
    tool_add_string(result, "table", "gpt");
    tool_add_number(result, "sector-size", table->sector_size);
    add_guid(result, "disk-guid", table->disk_guid);
    add_partitions(result, table);
}

/* What a descriptor says, whether its files are there or not. */
static int add_descriptor(ToolCall *call, const char *path, Error *error)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;
    _cleanup_close_ int fd = -EBADF;
    ByteSource source = { .fd = -EBADF };
    ImageFormat format;

    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    fd = source.fd;
    r = image_format_probe(&source, &format);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read '%s'", path);
    if (format == IMAGE_RAW) {
        tool_add_string(call->result, "format", "raw");
        tool_add_number(call->result, "size", source.size);
        return 0;
    }
    if (format != IMAGE_COMPOSITE)
        return error_set(error, ERROR_IMAGE_INVALID, "'%s' is %s, which is not read here", path,
                         image_format_describe(format));
    r = composite_descriptor_read(&source, path, &descriptor, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "format", "composite");
    tool_add_number(call->result, "version", descriptor->version);
    tool_add_number(call->result, "size", descriptor->disk_size);
    add_components(call->result, descriptor);
    return 0;
}

static int run_info(ToolCall *call, Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    _cleanup_free_ GptTable *table = calloc(1, sizeof(*table));
    const char *path = call->arguments[0];

    if (!table)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = add_descriptor(call, path, error);
    if (r >= 0)
        r = composite_image_open(path, COMPOSITE_IMAGE_NO_LOCK, &image, error);
    if (r >= 0)
        r = composite_image_read_table(image, table, error);
    if (r >= 0)
        add_table(call->result, table);
    else if (r == -ENODATA)
        tool_add_string(call->result, "table", "none");
    return r == -ENODATA ? 0 : r;
}

/* --- check --- */

/* Adds what @error says to the problems, and clears it. */
static void add_problem(struct json_object *problems, Error *error)
{
    struct json_object *holder = json_object_new_object();

    tool_add_string(holder, "text", error_get_message(error));
    (void)json_object_array_add(problems, json_object_get(json_object_object_get(holder, "text")));
    (void)json_object_put(holder);
    error_clear(error);
}

static void check_pieces(const CompositeImage *image, struct json_object *problems)
{
    for (size_t i = 0; i < image->n_pieces; i++) {
        const CompositePiece *piece = &image->pieces[i];
        _cleanup_(error_clear) Error error = ERROR_INIT;

        if (piece->file_offset + piece->size <= piece->file_size)
            continue;
        (void)error_set(&error, ERROR_IMAGE_INVALID,
                        "component '%s' has %" PRIu64 " bytes, and its place on the disk needs "
                        "%" PRIu64,
                        piece->path, piece->file_size, piece->file_offset + piece->size);
        add_problem(problems, &error);
    }
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* A piece behind piece @index that is the same bytes of the same file, and one of them is written;
 * NULL: none. A file may have several names. */
static const CompositePiece *find_shared(const CompositeImage *image,
                                         const struct stat *files,
                                         size_t index)
{
    const CompositePiece *piece = &image->pieces[index];

    for (size_t i = index + 1; i < image->n_pieces; i++) {
        const CompositePiece *other = &image->pieces[i];

        if ((piece->writable || other->writable) && is_same_file(&files[index], &files[i]) &&
            piece->file_offset < other->file_offset + other->size &&
            other->file_offset < piece->file_offset + piece->size)
            return other;
    }
    return NULL;
}

/* Two places that one file is written through: of each piece the next, or they would be millions.
 */
static int check_writable_pieces(const CompositeImage *image,
                                 struct json_object *problems,
                                 Error *error)
{
    _cleanup_free_ struct stat *files = calloc(image->n_pieces, sizeof(*files));

    if (!files)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < image->n_pieces; i++) {
        if (fstat(image->pieces[i].fd, &files[i]) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot look at component '%s'",
                                   image->pieces[i].path);
    }
    for (size_t i = 0; i < image->n_pieces; i++) {
        const CompositePiece *piece = &image->pieces[i], *other = find_shared(image, files, i);
        _cleanup_(error_clear) Error problem = ERROR_INIT;

        if (!other)
            continue;
        (void)error_set(&problem, ERROR_IMAGE_INVALID,
                        "component '%s' is on the disk at %" PRIu64 " and at %" PRIu64
                        ", and writable",
                        piece->path, piece->offset, other->offset);
        add_problem(problems, &problem);
    }
    return 0;
}

static void check_table(const CompositeImage *image, ToolCall *call, struct json_object *problems)
{
    _cleanup_free_ GptTable *table = calloc(1, sizeof(*table));
    _cleanup_(error_clear) Error error = ERROR_INIT;
    int r = table ? composite_image_read_table(image, table, &error)
                  : error_set(&error, ERROR_NO_MEMORY, "out of memory");

    if (r == -ENODATA)
        (void)error_set(&error, ERROR_IMAGE_INVALID, "the disk has no GUID partition table");
    if (r >= 0) {
        tool_add_number(call->result, "partitions", table->n_partitions);
        r = composite_image_check_backup(image, table, &error);
    }
    if (r < 0)
        add_problem(problems, &error);
    if (image->size % COMPOSITE_ALIGNMENT != 0) {
        (void)error_set(&error, ERROR_IMAGE_INVALID,
                        "the disk's size %" PRIu64 " is no multiple of %d, which a guest with "
                        "sectors of that size needs",
                        image->size, COMPOSITE_ALIGNMENT);
        add_problem(problems, &error);
    }
}

static int run_check(ToolCall *call, Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    const char *path = call->arguments[0];

    int r = composite_image_open(path, COMPOSITE_IMAGE_NO_LOCK, &image, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "disk", path);
    tool_add_number(call->result, "pieces", image->n_pieces);
    struct json_object *problems = json_object_new_array();
    check_pieces(image, problems);
    r = check_writable_pieces(image, problems, error);
    check_table(image, call, problems);
    size_t n = json_object_array_length(problems);
    (void)json_object_object_add(call->result, "problems", problems);
    if (r >= 0 && n > 0)
        return error_set(error, ERROR_IMAGE_INVALID, "'%s' has %zu problem%s", path, n,
                         n == 1 ? "" : "s");
    return r;
}

/* --- extract --- */

static bool is_zeros(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Writes @bytes at @offset and leaves holes for what is zeros. */
static int write_sparsely(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
    for (size_t at = 0; at < size; at += HOLE_CHUNK) {
        size_t n = size - at < HOLE_CHUNK ? size - at : HOLE_CHUNK;

        if (is_zeros(bytes + at, n))
            continue;
        for (size_t done = 0; done < n;) {
            ssize_t written = pwrite(fd, bytes + at + done, n - done, (off_t)(offset + at + done));
            if (written < 0 && errno != EINTR)
                return -errno;
            done += written > 0 ? (size_t)written : 0;
        }
    }
    return 0;
}

static int copy_out(const ToolCall *call,
                    const CompositeImage *image,
                    uint64_t offset,
                    uint64_t size,
                    const OutputFile *file,
                    Error *error)
{
    _cleanup_free_ uint8_t *buffer = malloc(COPY_CHUNK);
    int r = buffer ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");

    for (uint64_t done = 0; r >= 0 && done < size;) {
        done = composite_image_find_data(image, offset + done) - offset;
        if (done >= size)
            break;
        size_t n = (size_t)(size - done < COPY_CHUNK ? size - done : COPY_CHUNK);

        r = composite_image_read(image, offset + done, buffer, n, error);
        if (r < 0)
            return r;
        r = write_sparsely(file->fd, buffer, n, done);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", file->name);
        done += n;
        progress_report(call->progress, done, size);
    }
    if (r >= 0 && ftruncate(file->fd, (off_t)size) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot write '%s'", file->name);
    return r;
}

static int find_partition(const CompositeImage *image,
                          const char *label,
                          uint64_t *ret_offset,
                          uint64_t *ret_size,
                          Error *error)
{
    _cleanup_free_ GptTable *table = calloc(1, sizeof(*table));

    if (!table)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = composite_image_read_table(image, table, error);
    if (r == -ENODATA)
        return error_set(error, ERROR_IMAGE_INVALID, "the disk has no partition table");
    for (size_t i = 0; r >= 0 && i < table->n_partitions; i++) {
        if (strcmp(table->partitions[i].label, label) == 0) {
            *ret_offset = table->partitions[i].offset;
            *ret_size = table->partitions[i].size;
            return 0;
        }
    }
    return r < 0 ? r
                 : error_set(error, ERROR_FAILED,
                             "the disk has no partition '%s'; 'info' lists them", label);
}

/* Whether @output would take the place of a file that the disk is made of. */
static int check_output(const CompositeImage *image,
                        const char *disk,
                        const char *output,
                        Error *error)
{
    struct stat target, status;

    if (stat(output, &target) < 0)
        return 0;
    if (stat(disk, &status) == 0 && is_same_file(&target, &status))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the image '%s' would replace the disk itself: name another file", output);
    for (size_t i = 0; i < image->n_pieces; i++) {
        if (fstat(image->pieces[i].fd, &status) == 0 && is_same_file(&target, &status))
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "the image '%s' would replace component '%s' of the disk: name "
                             "another file",
                             output, image->pieces[i].path);
    }
    return 0;
}

static int run_extract(ToolCall *call, Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    _cleanup_(output_file_deinit) OutputFile file = OUTPUT_FILE_INIT;
    const char *path = tool_get_option(call, "output");
    uint64_t offset = 0, size;

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'extract' needs '-o FILE'");
    int r = composite_image_open(call->arguments[0], 0, &image, error);
    if (r < 0)
        return r;
    size = image->size;
    if (call->n_arguments > 1)
        r = find_partition(image, call->arguments[1], &offset, &size, error);
    if (r >= 0)
        r = check_output(image, call->arguments[0], path, error);
    if (r >= 0)
        r = output_file_open(path, tool_get_option(call, "force") != NULL, &file, error);
    if (r >= 0)
        r = copy_out(call, image, offset, size, &file, error);
    if (r >= 0)
        r = output_file_commit(&file, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "file", path);
    tool_add_number(call->result, "size", size);
    return 0;
}

const ToolVerb disk_reading_verbs[] = {
    { .name = "info",
      .arguments = "DISK",
      .summary = "show the files that a disk is made of, and its partitions",
      .n_min = 1,
      .n_max = 1,
      .run = run_info },
    { .name = "check",
      .arguments = "DISK",
      .summary = "check a disk, its files and both its partition tables",
      .n_min = 1,
      .n_max = 1,
      .run = run_check },
    { .name = "extract",
      .arguments = "DISK [LABEL]",
      .summary = "copy a partition, or the whole disk, into a raw image",
      .n_min = 1,
      .n_max = 2,
      .options = { { "output", 'o', "FILE", "the image" },
                   { "force", 'f', NULL, "replace a file that is there" } },
      .run = run_extract },
    { .name = NULL },
};
