/* SPDX-License-Identifier: Apache-2.0 */
/* A disk with more partitions is a new one that keeps what the old one had. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/composite-file.h"
#include "composite-disk/composite-image.h"

typedef struct Appending {
    GptTable table;
    CompositeFilePartition partitions[GPT_PARTITIONS_MAX];
    char *files[GPT_PARTITIONS_MAX]; /* of the old partitions; owned */
    size_t n_old;
} Appending;

static Appending *appending_free(Appending *appending)
{
    for (size_t i = 0; i < appending->n_old; i++)
        free(appending->files[i]);
    free(appending);
    return NULL;
}
DEFINE_CLEANUP(Appending, appending_free);

static const CompositeComponent *find_component(const CompositeDescriptor *descriptor,
                                                uint64_t offset)
{
    for (size_t i = 0; i < descriptor->n_components; i++) {
        if (descriptor->components[i].offset == offset)
            return &descriptor->components[i];
    }
    return NULL;
}

/* The file as it is opened from here: relative ones begin at the descriptor's directory. */
static char *dup_file(const char *path, const char *component)
{
    const char *slash = strrchr(path, '/');
    char *file;

    if (component[0] == '/' || !slash)
        return strdup(component);
    return asprintf(&file, "%.*s%s", (int)(slash - path) + 1, path, component) < 0 ? NULL : file;
}

static int take_old_partition(Appending *appending,
                              const char *path,
                              const CompositeDescriptor *descriptor,
                              size_t index,
                              Error *error)
{
    const GptPartition *partition = &appending->table.partitions[index];
    const CompositeComponent *component = find_component(descriptor, partition->offset);

    if (!component || component->file_offset != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "partition '%s' of '%s' is not a file of its own: nothing can be appended",
                         partition->label, path);
    appending->files[index] = dup_file(path, component->path);
    if (!appending->files[index])
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    appending->n_old++;
    appending->partitions[index] = (CompositeFilePartition){ .label = partition->label,
                                                             .file = appending->files[index],
                                                             .writable = component->writable,
                                                             .type = partition->type,
                                                             .guid = partition->guid,
                                                             .attributes = partition->attributes };
    return 0;
}

static int take_old_partitions(Appending *appending, const char *path, Error *error)
{
    _cleanup_(composite_image_freep) CompositeImage *image = NULL;

    int r = composite_image_open(path, COMPOSITE_IMAGE_NO_LOCK, &image, error);
    if (r < 0)
        return r;
    if (!image->descriptor || image->descriptor->version < COMPOSITE_VERSION)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "'%s' is no composite disk of version %d: nothing can be appended", path,
                         COMPOSITE_VERSION);
    r = composite_image_read_table(image, &appending->table, error);
    if (r == -ENODATA)
        return error_set(error, ERROR_IMAGE_INVALID, "'%s' has no partition table", path);
    for (size_t i = 0; r >= 0 && i < appending->table.n_partitions; i++)
        r = take_old_partition(appending, path, image->descriptor, i, error);
    return r;
}

int composite_file_append(const char *path,
                          const CompositeFilePartition *partitions,
                          size_t n_partitions,
                          CompositeFileResult *ret_result,
                          Error *error)
{
    _cleanup_(appending_freep) Appending *appending = calloc(1, sizeof(*appending));

    _cleanup_close_ int lock = -EBADF;

    if (!appending)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = composite_file_lock(path, &lock, error);
    if (r >= 0)
        r = take_old_partitions(appending, path, error);
    if (r < 0)
        return r;
    if (n_partitions > GPT_PARTITIONS_MAX - appending->n_old)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "'%s' has %zu partitions and takes %d: %zu more do not fit", path,
                         appending->n_old, GPT_PARTITIONS_MAX, n_partitions);
    memcpy(&appending->partitions[appending->n_old], partitions,
           n_partitions * sizeof(*partitions));

    const CompositeFileOptions options = { .format = COMPOSITE_FILE_CROSVM,
                                           .sector_size = appending->table.sector_size,
                                           .replace = true,
                                           .keep = &appending->table };
    return composite_file_create(path, appending->partitions, appending->n_old + n_partitions,
                                 &options, ret_result, error);
}
