/* SPDX-License-Identifier: Apache-2.0 */
/* A zip from anybody: what its reader takes is sound, its entries can be read or fail, in pieces or
 * at any place, and it makes a tree in which each of them is found. */
#include <assert.h>
#include <string.h>

#include "composite-disk/zip-sections.h"
#include "composite-disk/zip-stream.h"
#include "guest/zip-files.h"
#include "guest/zip-tree.h"
#include "tests/fuzz/fuzz.h"

#define PIECE_SIZE    1000
#define READ_MAX      (1U << 20) /* of an entry: a small input can inflate to a lot */
#define READ_MAX_EACH 16         /* entries */

static void check_entry(const ZipReader *reader, const ZipEntry *entry)
{
    const char *reason;

    int r = zip_check_name(entry->name, strlen(entry->name), &reason);
    assert(r == 0);
    assert(zip_reader_find(reader, entry->name) == entry);
    assert(entry->data_offset > entry->header_offset);
    assert(entry->data_offset + entry->compressed_size <= reader->source.size);
}

static void read_entry(const ZipReader *reader, const ZipEntry *entry)
{
    _cleanup_(zip_stream_freep) ZipStream *stream = NULL;
    uint8_t piece[PIECE_SIZE];
    size_t size = 0, all = 0;

    if (zip_stream_new(reader, entry, &stream, NULL) < 0)
        return;
    while (all < READ_MAX && zip_stream_read(stream, piece, sizeof(piece), &size, NULL) == 0 &&
           size > 0)
        all += size;
    assert(all <= entry->size);
}

static void read_at(ZipFiles *files, const ZipEntry *entry)
{
    const uint64_t offsets[] = { entry->size / 2, 0, entry->size - 1, entry->size };
    uint8_t piece[PIECE_SIZE];
    size_t size;

    if (entry->size > READ_MAX)
        return;
    for (size_t i = 0; i < ELEMENTS_OF(offsets); i++) {
        if (zip_files_read(files, entry, offsets[i], piece, sizeof(piece), &size, NULL) == 0)
            assert(size <= sizeof(piece) && (offsets[i] < entry->size) == (size > 0));
    }
}

static void check_tree(const ZipReader *reader)
{
    _cleanup_(zip_tree_freep) ZipTree *tree = NULL;
    _cleanup_(zip_files_freep) ZipFiles *files = NULL;
    size_t n_found = 0;

    if (zip_tree_new(reader, &tree, NULL) < 0 || zip_files_new(reader, &files, NULL) < 0)
        return;
    for (uint64_t inode = ZIP_TREE_ROOT + 1; inode <= tree->n_nodes; inode++) {
        const ZipNode *node = zip_tree_find(tree, inode);
        const ZipNode *parent = zip_tree_find(tree, node->parent);
        char name[UINT8_MAX + 1] = "";

        memcpy(name, node->name, node->name_size);
        assert(parent->is_directory && zip_tree_find_child(tree, parent, name) == inode);
        if (!node->entry)
            continue;
        assert(node->is_directory == node->entry->is_directory);
        if (n_found++ < READ_MAX_EACH)
            read_at(files, node->entry);
    }
    assert(n_found == reader->n_entries);
}

static void read_all(const ByteSource *zip)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;

    if (zip_reader_new(zip, &reader, NULL) < 0)
        return;
    for (size_t i = 0; i < reader->n_entries; i++) {
        check_entry(reader, &reader->entries[i]);
        if (i < READ_MAX_EACH)
            read_entry(reader, &reader->entries[i]);
    }
    check_tree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ByteSource source = byte_source_from_memory(data, size), cut;
    ZipSections sections;

    read_all(&source);
    if (zip_cut_tail(&source, &cut, NULL) == 0) {
        assert(cut.size <= size && size - cut.size < ZIP_TAIL_ALIGNMENT);
        if (zip_find_sections(&cut, &sections, NULL) == 0)
            assert(sections.end_offset + sections.end_size == cut.size &&
                   sections.directory_offset + sections.directory_size == sections.end_offset);
    }
    return 0;
}
