/* SPDX-License-Identifier: Apache-2.0 */
/* A disk as a guest sees it, opened by its composite descriptor, with nested ones, or by a raw
 * image: reads and writes go to the files that it is made of. Source of the rules: crosvm,
 * disk/src/composite.rs. Where crosvm would guess a format from bytes that a guest may have
 * written, this refuses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/composite-descriptor.h"
#include "composite-disk/gpt.h"

#define COMPOSITE_DEPTH_MAX 10   /* of composites in composites, as crosvm has it */
#define COMPOSITE_FILES_MAX 4096 /* of a disk and those in it, each as often as it is named */
/* Bytes of all descriptors together, for each takes a fifth of a second when it is as large as one
 * may be. */
#define COMPOSITE_DESCRIPTORS_MAX (4 * COMPOSITE_DESCRIPTOR_MAX)

typedef enum CompositeImageFlags {
    COMPOSITE_IMAGE_WRITABLE = 1 << 0, /* open writable components for writing */
    /* No locks. Else each file is locked by flock(2) as crosvm does it: shared, or exclusively when
     * it is written; ERROR_IMAGE_BUSY when somebody holds it. */
    COMPOSITE_IMAGE_NO_LOCK = 1 << 1,
} CompositeImageFlags;

/* A piece of a file; those of nested disks are pieces of their own. */
typedef struct CompositePiece {
    char *path; /* as the descriptor has it */
    int fd;
    uint64_t offset, size; /* on the disk */
    uint64_t file_offset;
    uint64_t file_size;
    bool writable; /* the descriptor says so */
    bool written;  /* and the image was opened for that */
} CompositePiece;

typedef struct CompositeImage {
    uint64_t size;                   /* bytes */
    CompositeDescriptor *descriptor; /* the outermost; NULL for a raw image */
    CompositePiece *pieces;          /* in order, without a gap */
    size_t n_pieces;
} CompositeImage;

/* A component /proc/self/fd/N is the descriptor N of this process if it is not close-on-exec, that
 * is, was inherited, and ERROR_INVALID_FILE otherwise. ERROR_IMAGE_INVALID for what is no disk:
 * nested too deeply, in itself, with too many pieces, of a format that is not read here. */
int composite_image_open(const char *path,
                         unsigned flags,
                         CompositeImage **ret_image,
                         Error *error);

CompositeImage *composite_image_free(CompositeImage *image);
DEFINE_CLEANUP(CompositeImage, composite_image_free);

/* The piece that has the byte at @offset, which is inside the disk. */
const CompositePiece *composite_image_find_piece(const CompositeImage *image, uint64_t offset);

/* The first offset from @offset on, which is inside the disk, where something else than zeros may
 * be: the rest is holes of the files. The disk's size when there is none. */
uint64_t composite_image_find_data(const CompositeImage *image, uint64_t offset);

/* Each reads or writes all @size bytes. ERROR_IMAGE_INVALID for bytes outside the disk or behind
 * the end of a piece's file, ERROR_ACCESS_DENIED for writing to what is not writable; then a part
 * may have been written. */
int composite_image_read(
    const CompositeImage *image, uint64_t offset, void *buffer, size_t size, Error *error);
int composite_image_write(
    const CompositeImage *image, uint64_t offset, const void *buffer, size_t size, Error *error);

/* Flushes what was written to the disk. */
int composite_image_flush(const CompositeImage *image, Error *error);

/* Reads the disk's partition table. -ENODATA, without an error, when it has none. */
int composite_image_read_table(const CompositeImage *image, GptTable *ret_table, Error *error);

/* Whether the backup of @table is good: see gpt_check_backup(). */
int composite_image_check_backup(const CompositeImage *image, const GptTable *table, Error *error);
