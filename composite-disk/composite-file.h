/* SPDX-License-Identifier: Apache-2.0 */
/* Makes composite disks in the file system: the descriptor, and beside it the partition tables and,
 * where a partition needs it, zeros to fill it up. Partition files are named in it, never copied,
 * so that what is written does not depend on their sizes. The disk appears whole or not at all: the
 * descriptor comes last, and replaces an older one in one step. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/gpt.h"

typedef struct CompositeFilePartition {
    const char *label;
    const char *file;
    bool writable;
    const uint8_t *type; /* GUID_SIZE bytes; NULL: Linux file system */
    const uint8_t *guid; /* the same; NULL: a random one */
    uint64_t attributes;
} CompositeFilePartition;

typedef enum CompositeFileFormat {
    COMPOSITE_FILE_CROSVM,
    COMPOSITE_FILE_VMDK,          /* for QEMU */
    COMPOSITE_FILE_DEVICE_MAPPER, /* the table's text; put devices in place of the files */
    COMPOSITE_FILE_FORMAT_MAX,
} CompositeFileFormat;

typedef struct CompositeFileOptions {
    CompositeFileFormat format;
    uint32_t sector_size; /* 512 or 4096 */
    bool replace;         /* a disk that is there; what only it used is removed */
    /* Its GUID, and the places of its partitions, which are the first ones of the new disk; NULL
     * for a new disk. ERROR_INVALID_CONFIG when one would move. The caller has the lock then. */
    const GptTable *keep;
} CompositeFileOptions;

typedef struct CompositeFileResult {
    uint64_t disk_size;
    uint64_t bytes_written; /* into all files */
} CompositeFileResult;

/* "crosvm", "vmdk" or "device-mapper"; -EINVAL for another name. */
int composite_file_format_from_string(const char *name, CompositeFileFormat *ret_format);

/* Keeps other makers off the disk @path until the caller closes *@ret_lock: who reads it, to write
 * one that takes its place, would lose what another has added meanwhile. ERROR_IMAGE_BUSY when one
 * is at it. Where there is no disk, or are no locks, *@ret_lock is -EBADF. */
int composite_file_lock(const char *path, int *ret_lock, Error *error);

/* Makes the disk @path of @partitions. Files in or below its directory are named relative to it,
 * others from the root. ERROR_INVALID_FILE, IMAGE_INVALID and INVALID_CONFIG name the partition or
 * file and what is wrong with it; nothing is left behind then. */
int composite_file_create(const char *path,
                          const CompositeFilePartition *partitions,
                          size_t n_partitions,
                          const CompositeFileOptions *options,
                          CompositeFileResult *ret_result,
                          Error *error);

/* Adds partitions behind those of the disk @path, which a composite_file_create() with crosvm's
 * format has made, or AVF: one component a partition. The others keep their GUIDs and places. */
int composite_file_append(const char *path,
                          const CompositeFilePartition *partitions,
                          size_t n_partitions,
                          CompositeFileResult *ret_result,
                          Error *error);
