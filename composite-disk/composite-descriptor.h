/* SPDX-License-Identifier: Apache-2.0 */
/* The file that tells crosvm, and Cuttlefish's and AVF's tools, which files make up a disk: a magic
 * and a protobuf message. Sources: crosvm, disk/src/composite.rs and
 * protos/src/cdisk_spec.proto; the rules are those of its reader, made complete. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/region-table.h"

#define COMPOSITE_MAGIC              "composite_disk\x1d"
#define COMPOSITE_MAGIC_SIZE         15
#define COMPOSITE_VERSION            2 /* relative paths start at the descriptor's directory */
#define COMPOSITE_DESCRIPTOR_MAX     (1 << 20) /* bytes */
#define COMPOSITE_COMPONENTS_MAX     1024
#define COMPOSITE_COMPONENT_PATH_MAX 4095

typedef struct CompositeComponent {
    char *path;
    uint64_t offset; /* on the disk; all in bytes */
    uint64_t size;   /* up to the next component or the disk's end; not in the file */
    uint64_t file_offset;
    bool writable;
} CompositeComponent;

typedef struct CompositeDescriptor {
    uint64_t version;
    uint64_t disk_size;
    CompositeComponent *components; /* sorted by offset, without a gap */
    size_t n_components;
} CompositeDescriptor;

CompositeDescriptor *composite_descriptor_free(CompositeDescriptor *descriptor);
DEFINE_CLEANUP(CompositeDescriptor, composite_descriptor_free);

/* Adds a component behind the last; copies @path. -ENOMEM. */
int composite_descriptor_add(CompositeDescriptor *descriptor,
                             const char *path,
                             uint64_t file_offset,
                             uint64_t size,
                             bool writable);

/* The descriptor of the disk that is made of these pieces, of which only partitions, which have a
 * label, can be writable. Sizes need not be whole sectors here. -ENOMEM; the caller frees it. */
int composite_descriptor_new(const Region *regions,
                             size_t n_regions,
                             CompositeDescriptor **ret_descriptor);

/* The bytes of the file, which the caller frees. ERROR_INVALID_ARGUMENT when the descriptor has
 * too many components or a path that is too long or empty. */
int composite_descriptor_encode(const CompositeDescriptor *descriptor,
                                uint8_t **ret_bytes,
                                size_t *ret_size,
                                Error *error);

/* True for bytes that begin with the magic. */
bool composite_descriptor_is_one(const uint8_t *bytes, size_t size);

/* ERROR_IMAGE_INVALID says which rule is broken: magic, version, number of components, a first one
 * that is not at 0, two at one offset, one beyond the disk's end, a path that is no text, offsets
 * above INT64_MAX. The caller frees the descriptor. */
int composite_descriptor_decode(const uint8_t *bytes,
                                size_t size,
                                CompositeDescriptor **ret_descriptor,
                                Error *error);

/* The same of all of @source, which is called @name in errors. */
int composite_descriptor_read(const ByteSource *source,
                              const char *name,
                              CompositeDescriptor **ret_descriptor,
                              Error *error);
