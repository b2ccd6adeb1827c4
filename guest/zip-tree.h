/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a zip as a tree of directories, with a number for each: what a file system asks for.
 * Directories that have no entry of their own are there too. Names, and that no two things are at
 * one place, are what ZipReader has checked already. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/zip-reader.h"
#include "composite-disk/zip-sections.h"

#define ZIP_TREE_ROOT 1 /* the root's inode, as FUSE has it */

/* Directories without entries may be far more than there are entries: up to 2048 in each name. */
#define ZIP_TREE_NODES_MAX (4U * (ZIP_ENTRIES_MAX + 1))

typedef struct ZipNode {
    const char *name;  /* within its directory; lent by the reader, and not terminated */
    uint32_t parent;   /* an inode; the root is its own */
    uint32_t children; /* where they begin in the tree's list of them */
    uint32_t n_children;
    uint8_t name_size; /* at most NAME_MAX */
    bool is_directory;
    const ZipEntry *entry; /* NULL for a directory that has none */
} ZipNode;

typedef struct ZipTree {
    ZipNode *nodes; /* by inode, less one; a directory stands before what is in it */
    size_t n_nodes;
    uint32_t *children; /* inodes: directory by directory, each sorted by name */
} ZipTree;

/* @reader is lent until zip_tree_free(). ERROR_IMAGE_INVALID when there are more nodes than
 * ZIP_TREE_NODES_MAX. */
int zip_tree_new(const ZipReader *reader, ZipTree **ret_tree, Error *error);
ZipTree *zip_tree_free(ZipTree *tree);
DEFINE_CLEANUP(ZipTree, zip_tree_free);

/* NULL when there is none of that inode. */
const ZipNode *zip_tree_find(const ZipTree *tree, uint64_t inode);

/* The inode of what has that name in @directory; 0 when there is none. */
uint64_t zip_tree_find_child(const ZipTree *tree, const ZipNode *directory, const char *name);

/* Type and permissions. They are the entry's where the zip has any, without those to write and
 * without set-id bits, and what its owner may, the group may too: that is whom the archive is for.
 * At least, owner and group may read files and enter directories, and execute files below bin/ that
 * come without a mode. */
uint32_t zip_node_get_mode(const ZipNode *node);
