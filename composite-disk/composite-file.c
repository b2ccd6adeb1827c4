/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/random.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/composite-companions.h"
#include "composite-disk/composite-descriptor.h"
#include "composite-disk/composite-image.h"
#include "composite-disk/composite-layout.h"
#include "composite-disk/image-format.h"
#include "composite-disk/output-file.h"
#include "composite-disk/region-table.h"

/* A partition file as it is looked at before anything is written. */
typedef struct Input {
    char *path; /* as the descriptor names it */
    uint64_t size;
    dev_t device;
    ino_t inode;
} Input;

typedef struct Making {
    const char *path; /* of the descriptor */
    char *directory;  /* its own, without links, and with a final slash */
    const CompositeFilePartition *partitions;
    Input inputs[GPT_PARTITIONS_MAX];
    size_t n_partitions;
    CompositeLayout *layout;
    CompositeCompanions companions;
    uint64_t bytes_written;
} Making;

static void making_deinit(Making *making)
{
    for (size_t i = 0; i < making->n_partitions; i++)
        free(making->inputs[i].path);
    composite_companions_deinit(&making->companions);
    composite_layout_free(making->layout);
    free(making->directory);
}

static int making_init(Making *making,
                       const char *path,
                       const CompositeFilePartition *partitions,
                       size_t n_partitions,
                       Error *error)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *given = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

    memset(making, 0, sizeof(*making));
    composite_companions_init(&making->companions, path, NULL);
    if (n_partitions == 0 || n_partitions > GPT_PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "a disk takes 1 to %d partitions, this one has %zu", GPT_PARTITIONS_MAX,
                         n_partitions);
    making->path = path;
    making->partitions = partitions;
    making->n_partitions = n_partitions;
    _cleanup_free_ char *directory = given ? realpath(given, NULL) : NULL;
    if (!directory)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot make '%s'", path);
    if (asprintf(&making->directory, "%s%s", directory, strcmp(directory, "/") == 0 ? "" : "/") < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    making->companions.directory = making->directory;
    return 0;
}

/* --- partition files --- */

#define INHERITED_PREFIX "/proc/self/fd/" /* a name that is the same for every reader */
#define PROCESSES        "/proc/"

/* @file as the descriptor names it. Its directory has no links in it then, itself it may be one.
 * -EXDEV for one that only this process has. */
static int name_file(const Making *making, const char *file, char **ret_path)
{
    const char *slash = strrchr(file, '/');
    _cleanup_free_ char *given = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
    _cleanup_free_ char *directory = given ? realpath(given, NULL) : NULL;
    _cleanup_free_ char *absolute = NULL;
    size_t length = strlen(making->directory);

    if (!directory)
        return -errno;
    if (strncmp(directory, PROCESSES, strlen(PROCESSES)) == 0) {
        if (strncmp(file, INHERITED_PREFIX, strlen(INHERITED_PREFIX)) != 0)
            return -EXDEV;
        *ret_path = strdup(file);
        return *ret_path ? 0 : -ENOMEM;
    }
    if (asprintf(&absolute, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory,
                 slash ? slash + 1 : file) < 0)
        return -ENOMEM;
    bool below = strncmp(absolute, making->directory, length) == 0;
    *ret_path = strdup(below ? absolute + length : absolute);
    return *ret_path ? 0 : -ENOMEM;
}

static int open_partition(const CompositeFilePartition *partition,
                          ByteSource *ret_source,
                          Error *error)
{
    if (!partition->writable)
        return byte_source_open(partition->file, ret_source, error);

    _cleanup_close_ int fd = -EBADF;
    int r = byte_source_open_file(AT_FDCWD, partition->file, O_RDWR, &fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open '%s' for writing",
                               partition->file);
    r = byte_source_from_fd(fd, partition->file, ret_source, error);
    if (r < 0)
        return r;
    (void)take_fd(&fd); /* the source has it */
    return 0;
}

/* How large the partition is: crosvm shows what is in a composite, so its size counts. */
static int get_size(const CompositeFilePartition *partition,
                    const ByteSource *source,
                    CompositeFileFormat target,
                    uint64_t *ret_size,
                    Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;
    ImageFormat format;

    int r = image_format_probe(source, &format);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot read '%s'", partition->file);
    *ret_size = source->size;
    if (format == IMAGE_RAW || target != COMPOSITE_FILE_CROSVM)
        return 0; /* others do not look into it */
    if (format != IMAGE_COMPOSITE || partition->writable)
        return error_set(error, ERROR_INVALID_FILE,
                         "the file '%s' of %spartition '%s' is %s, and crosvm would show the guest "
                         "what is in it: make a raw image of it first",
                         partition->file, partition->writable ? "writable " : "", partition->label,
                         image_format_describe(format));
    r = composite_image_open(partition->file, COMPOSITE_IMAGE_NO_LOCK, &image, error);
    if (r >= 0)
        *ret_size = image->size;
    return r;
}

static int check_shared(const Making *making, size_t index, Error *error)
{
    const Input *input = &making->inputs[index];

    for (size_t i = 0; i < index; i++) {
        const Input *other = &making->inputs[i];

        if (other->device == input->device && other->inode == input->inode &&
            (making->partitions[i].writable || making->partitions[index].writable))
            return error_set(error, ERROR_INVALID_CONFIG,
                             "the partitions '%s' and '%s' are the same file '%s', and one of them "
                             "is writable",
                             making->partitions[i].label, making->partitions[index].label,
                             making->partitions[index].file);
    }
    return 0;
}

static int look_at_partition(Making *making, size_t index, CompositeFileFormat format, Error *error)
{
    const CompositeFilePartition *partition = &making->partitions[index];
    Input *input = &making->inputs[index];
    ByteSource source = { .fd = -EBADF };
    struct stat status;

    int r = open_partition(partition, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = get_size(partition, &source, format, &input->size, error);
    if (r >= 0 && fstat(fd, &status) < 0)
        r = error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at '%s'",
                            partition->file);
    if (r < 0)
        return r;
    input->device = status.st_dev;
    input->inode = status.st_ino;
    r = check_shared(making, index, error);
    if (r < 0)
        return r;
    r = name_file(making, partition->file, &input->path);
    if (r == -EXDEV)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' of partition '%s' is a descriptor of this process, which ends: give "
                         "the file's path, or " INHERITED_PREFIX "N for one that whoever opens the "
                         "disk inherits",
                         partition->file, partition->label);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot name '%s'", partition->file);
    return 0;
}

/* Whether the partitions that are to stay where they are do. */
static int check_kept(const Making *making, const GptTable *keep, Error *error)
{
    _cleanup_free_ GptTable *table = malloc(sizeof(*table));

    if (!table)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = gpt_decode(making->layout->head, making->layout->head_size, making->layout->disk_size,
                       table, error);
    for (size_t i = 0; r >= 0 && i < keep->n_partitions; i++) {
        if (table->partitions[i].offset != keep->partitions[i].offset ||
            table->partitions[i].size != keep->partitions[i].size)
            r = error_set(error, ERROR_INVALID_CONFIG,
                          "partition '%s' would not stay where it is: its file has another size "
                          "now, or another tool has laid the disk out",
                          keep->partitions[i].label);
    }
    return r;
}

static int lay_out(Making *making, const CompositeFileOptions *options, Error *error)
{
    CompositePartition partitions[GPT_PARTITIONS_MAX];
    uint8_t random[(GPT_PARTITIONS_MAX + 1) * GUID_SIZE];

    for (size_t i = 0; i < making->n_partitions; i++) {
        const CompositeFilePartition *partition = &making->partitions[i];

        int r = look_at_partition(making, i, options->format, error);
        if (r < 0)
            return r;
        partitions[i] = (CompositePartition){ .label = partition->label,
                                              .size = making->inputs[i].size,
                                              .writable = partition->writable,
                                              .type = partition->type,
                                              .guid = partition->guid,
                                              .attributes = partition->attributes };
    }
    int r = random_fill(random, sizeof(random));
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random numbers");
    if (options->keep)
        memcpy(random, options->keep->disk_guid, GUID_SIZE);
    r = composite_layout_new(partitions, making->n_partitions, options->sector_size, random,
                             &making->layout, error);
    return r >= 0 && options->keep ? check_kept(making, options->keep, error) : r;
}

/* --- the descriptor --- */

/* The file of a region, and of a partition its label. */
static const char *get_region_file(const Making *making,
                                   const CompositeRegion *region,
                                   const char **ret_label)
{
    *ret_label = NULL;
    switch (region->kind) {
    case COMPOSITE_HEAD:
        return making->companions.names[COMPANION_HEADER];
    case COMPOSITE_TAIL:
        return making->companions.names[COMPANION_FOOTER];
    case COMPOSITE_FILLER:
        return making->companions.names[COMPANION_FILLER];
    case COMPOSITE_PARTITION:
        break;
    }
    *ret_label = making->partitions[region->partition].label;
    return making->inputs[region->partition].path;
}

static int encode_crosvm(
    const Region *regions, size_t n_regions, uint8_t **ret_bytes, size_t *ret_size, Error *error)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *descriptor = NULL;

    if (composite_descriptor_new(regions, n_regions, &descriptor) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return composite_descriptor_encode(descriptor, ret_bytes, ret_size, error);
}

/* @making's regions are rounded for what knows sectors only. */
static int encode(const Making *making,
                  CompositeFileFormat format,
                  uint8_t **ret_bytes,
                  size_t *ret_size,
                  Error *error)
{
    Region regions[ELEMENTS_OF(making->layout->regions)];
    size_t n_regions;
    char *text = NULL;

    if (format != COMPOSITE_FILE_CROSVM)
        composite_layout_round_to_sectors(making->layout);
    n_regions = making->layout->n_regions;
    for (size_t i = 0; i < n_regions; i++) {
        const CompositeRegion *region = &making->layout->regions[i];

        regions[i].file = get_region_file(making, region, &regions[i].label);
        regions[i].file_offset = 0;
        regions[i].size = region->size;
        regions[i].writable = regions[i].label && making->partitions[region->partition].writable;
    }
    if (format == COMPOSITE_FILE_CROSVM)
        return encode_crosvm(regions, n_regions, ret_bytes, ret_size, error);
    int r = format == COMPOSITE_FILE_VMDK
                ? region_table_to_vmdk(regions, n_regions, &text, ret_size, error)
                : region_table_to_device_mapper(regions, n_regions, &text, ret_size, error);
    if (r >= 0)
        *ret_bytes = (uint8_t *)text;
    return r;
}

static int write_descriptor(Making *making,
                            CompositeFileFormat format,
                            OutputFile *output,
                            Error *error)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    int r = encode(making, format, &bytes, &size, error);
    if (r < 0)
        return r;
    r = fd_write_all(output->fd, bytes, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", making->path);
    making->bytes_written += size;
    return 0;
}

/* --- disks that are there already --- */

/* Whether the new disk has the file @path. */
static bool is_used(const Making *making, const char *path)
{
    if (composite_companions_have(&making->companions, path))
        return true;
    for (size_t i = 0; i < making->n_partitions; i++) {
        if (strcmp(making->inputs[i].path, path) == 0)
            return true;
    }
    return false;
}

/* Removes what @old, the disk before, had beside it, and the new one has not. */
static void remove_old_companions(const Making *making, const CompositeDescriptor *old)
{
    _cleanup_close_ int directory = open(making->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; old && i < old->n_components; i++) {
        const char *path = old->components[i].path;

        if (composite_companions_made(&making->companions, old, i) && !is_used(making, path))
            (void)unlinkat(directory, path, 0); /* a file too many does no harm */
    }
}

/* The descriptor of the disk that is to be replaced, if it is one. */
static int read_old(const char *path, CompositeDescriptor **ret_descriptor)
{
    _cleanup_close_ int fd = -EBADF;
    ByteSource source = { .fd = -EBADF };

    int r = byte_source_open(path, &source, NULL);
    if (r < 0)
        return r;
    fd = source.fd;
    return composite_descriptor_read(&source, path, ret_descriptor, NULL);
}

int composite_file_lock(const char *path, int *ret_lock, Error *error)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat ours, there;

    *ret_lock = -EBADF;
    if (fd < 0)
        return 0; /* there is none, or whoever opens it says what is wrong */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(error, ERROR_IMAGE_BUSY, "'%s' is in use by another process", path)
                   : 0; /* a file system without locks */
    if (fstat(fd, &ours) < 0 || stat(path, &there) < 0 || ours.st_dev != there.st_dev ||
        ours.st_ino != there.st_ino)
        return error_set(error, ERROR_IMAGE_BUSY,
                         "'%s' was replaced by another process just now: try again", path);
    *ret_lock = take_fd(&fd);
    return 0;
}

static int check_not_an_input(const Making *making, Error *error)
{
    struct stat status;

    if (lstat(making->path, &status) < 0)
        return 0;
    for (size_t i = 0; i < making->n_partitions; i++) {
        if (making->inputs[i].device == status.st_dev && making->inputs[i].inode == status.st_ino)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "the disk '%s' would replace the file of its partition '%s'",
                             making->path, making->partitions[i].label);
    }
    return 0;
}

static int make(Making *making,
                const CompositeFileOptions *options,
                CompositeFileResult *ret_result,
                Error *error)
{
    _cleanup_(output_file_deinit) OutputFile descriptor = OUTPUT_FILE_INIT;
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *old = NULL;
    _cleanup_close_ int lock = -EBADF;

    int r = lay_out(making, options, error);
    if (r >= 0 && options->replace && !options->keep)
        r = composite_file_lock(making->path, &lock, error);
    if (r >= 0)
        r = check_not_an_input(making, error);
    if (r >= 0)
        r = output_file_open(making->path, options->replace, &descriptor, error);
    if (r < 0)
        return r;
    if (options->replace)
        (void)read_old(making->path, &old); /* another file has nothing beside it */
    r = composite_companions_write(&making->companions, making->layout, &making->bytes_written,
                                   error);
    if (r >= 0)
        r = write_descriptor(making, options->format, &descriptor, error);
    if (r >= 0)
        r = composite_companions_commit(&making->companions, &descriptor, error);
    if (r < 0)
        return r;
    remove_old_companions(making, old);
    *ret_result = (CompositeFileResult){ .disk_size = making->layout->disk_size,
                                         .bytes_written = making->bytes_written };
    return 0;
}

int composite_file_format_from_string(const char *name, CompositeFileFormat *ret_format)
{
    static const char *const names[COMPOSITE_FILE_FORMAT_MAX] = { "crosvm", "vmdk",
                                                                  "device-mapper" };

    for (unsigned i = 0; i < COMPOSITE_FILE_FORMAT_MAX; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_format = (CompositeFileFormat)i;
            return 0;
        }
    }
    return -EINVAL;
}

int composite_file_create(const char *path,
                          const CompositeFilePartition *partitions,
                          size_t n_partitions,
                          const CompositeFileOptions *options,
                          CompositeFileResult *ret_result,
                          Error *error)
{
    _cleanup_free_ Making *making = malloc(sizeof(*making));

    if (!making)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = making_init(making, path, partitions, n_partitions, error);
    if (r >= 0)
        r = make(making, options, ret_result, error);
    making_deinit(making);
    return r;
}
