/* SPDX-License-Identifier: Apache-2.0 */
/* The reader's entries by name are a walk through the tree already: a directory's own entry comes
 * first, then all that is below it. So each name shares directories with the one before, which
 * exist, and adds the rest of its parts. One walk counts the nodes, the other makes them. */
#include "guest/zip-tree.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX       (ZIP_NAME_MAX / 2 + 1) /* of parts, "a/" each */
#define EXECUTABLE_MARK "bin/"                 /* AVF's: zipfuse of microdroid */
#define MODE_UNSET      0600 /* and no type: Python's zipfile, for contents without a mode */
#define MODE_OWNER      0500
#define MODE_KEPT       0555
#define MODE_FILE       0440
#define MODE_EXECUTABLE 0550
#define MODE_DIRECTORY  0550

static_assert(NAME_MAX <= UINT8_MAX, "a part of a name fits its size");

/* The size of the directories, with their slashes, that both names begin with, and their number. */
static size_t find_shared(const char *before, const char *name, size_t *ret_depth)
{
    size_t shared = 0, depth = 0;

    for (size_t i = 0; before[i] && before[i] == name[i]; i++) {
        if (name[i] == '/') {
            shared = i + 1;
            depth++;
        }
    }
    *ret_depth = depth;
    return shared;
}

/* The size of the first part of @rest, without its slash. */
static size_t get_part(const char *rest)
{
    return strcspn(rest, "/");
}

static const char *skip_part(const char *rest)
{
    rest += get_part(rest);
    return *rest == '/' ? rest + 1 : rest;
}

static int count_nodes(const ZipReader *reader, size_t *ret_n, Error *error)
{
    const char *before = "";
    size_t n = 1, depth;

    for (size_t i = 0; i < reader->n_entries; i++) {
        const char *name = reader->by_name[i]->name;

        for (const char *rest = name + find_shared(before, name, &depth); *rest;
             rest = skip_part(rest))
            n++;
        if (n > ZIP_TREE_NODES_MAX)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the zip has more than %u files and directories", ZIP_TREE_NODES_MAX);
        before = name;
    }
    *ret_n = n;
    return 0;
}

static uint32_t add_node(ZipTree *tree, const ZipNode *node)
{
    tree->nodes[tree->n_nodes] = *node;
    return (uint32_t)++tree->n_nodes;
}

/* @path: the inodes of the last entry's directories, the root first. */
static void add_entry(ZipTree *tree,
                      const ZipEntry *entry,
                      const char *rest,
                      uint32_t path[static DEPTH_MAX + 1],
                      size_t depth)
{
    while (*rest) {
        const char *next = skip_part(rest);
        const ZipNode node = {
            .name = rest,
            .name_size = (uint8_t)get_part(rest), /* zip_check_name() has seen to that */
            .parent = path[depth],
            .is_directory = next[-1] == '/',
            .entry = *next ? NULL : entry,
        };
        uint32_t inode = add_node(tree, &node);
        if (node.is_directory)
            path[++depth] = inode;
        rest = next;
    }
}

static void add_entries(ZipTree *tree, const ZipReader *reader)
{
    uint32_t path[DEPTH_MAX + 1];
    const char *before = "";
    size_t depth;

    path[0] = add_node(tree, &(ZipNode){ .parent = ZIP_TREE_ROOT, .is_directory = true });
    for (size_t i = 0; i < reader->n_entries; i++) {
        const ZipEntry *entry = reader->by_name[i];
        size_t shared = find_shared(before, entry->name, &depth);

        add_entry(tree, entry, entry->name + shared, path, depth);
        before = entry->name;
    }
}

/* The walk meets what is in one directory in the order of names, so they only have to be brought
 * together. */
static void list_children(ZipTree *tree)
{
    uint32_t next = 0;

    for (size_t i = 1; i < tree->n_nodes; i++)
        tree->nodes[tree->nodes[i].parent - 1].n_children++;
    for (size_t i = 0; i < tree->n_nodes; i++) {
        tree->nodes[i].children = next;
        next += tree->nodes[i].n_children;
        tree->nodes[i].n_children = 0; /* counted again below */
    }
    for (size_t i = 1; i < tree->n_nodes; i++) {
        ZipNode *parent = &tree->nodes[tree->nodes[i].parent - 1];
        tree->children[parent->children + parent->n_children++] = (uint32_t)i + 1;
    }
}

int zip_tree_new(const ZipReader *reader, ZipTree **ret_tree, Error *error)
{
    _cleanup_(zip_tree_freep) ZipTree *tree = calloc(1, sizeof(*tree));
    size_t n = 0;

    int r = count_nodes(reader, &n, error);
    if (r < 0)
        return r;
    if (tree) {
        tree->nodes = calloc(n, sizeof(*tree->nodes));
        tree->children = calloc(n, sizeof(*tree->children));
    }
    if (!tree || !tree->nodes || !tree->children)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    add_entries(tree, reader);
    assert(tree->n_nodes == n);
    list_children(tree);
    *ret_tree = TAKE_PTR(tree);
    return 0;
}

ZipTree *zip_tree_free(ZipTree *tree)
{
    if (!tree)
        return NULL;
    free(tree->nodes);
    free(tree->children);
    free(tree);
    return NULL;
}

const ZipNode *zip_tree_find(const ZipTree *tree, uint64_t inode)
{
    return inode >= ZIP_TREE_ROOT && inode <= tree->n_nodes ? &tree->nodes[inode - 1] : NULL;
}

static int compare_with_node(const char *name, size_t size, const ZipNode *node)
{
    int order = memcmp(name, node->name, size < node->name_size ? size : node->name_size);

    return order != 0 ? order : (size > node->name_size) - (size < node->name_size);
}

uint64_t zip_tree_find_child(const ZipTree *tree, const ZipNode *directory, const char *name)
{
    size_t low = directory->children, high = low + directory->n_children, size = strlen(name);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_with_node(name, size, &tree->nodes[tree->children[middle] - 1]);

        if (order == 0)
            return tree->children[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

uint32_t zip_node_get_mode(const ZipNode *node)
{
    uint32_t stored = node->entry ? node->entry->mode : 0;
    bool is_set = stored != 0 && stored != MODE_UNSET;
    uint32_t mode = (stored & MODE_KEPT) | (stored & MODE_OWNER) >> 3;

    if (node->is_directory)
        return S_IFDIR | mode | MODE_DIRECTORY;
    if (!is_set && strncmp(node->entry->name, EXECUTABLE_MARK, sizeof(EXECUTABLE_MARK) - 1) == 0)
        return S_IFREG | MODE_EXECUTABLE;
    return S_IFREG | mode | MODE_FILE;
}
