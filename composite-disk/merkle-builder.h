/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the hash tree of data that is read once, in the memory that a few blocks need, on as many
 * cores as there are. What becomes of the tree is the caller's: written, compared or dropped. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/merkle-tree.h"
#include "composite-disk/progress.h"

#define MERKLE_THREADS_MAX 64 /* each with about 100 KiB of buffers */

typedef struct MerkleOptions {
    const uint8_t *salt; /* at most MERKLE_SALT_MAX bytes, hashed before each block */
    size_t salt_size;
    /* 0: one for each CPU that the process may use. With 1 no thread is made. */
    unsigned n_threads;
    const Progress *progress; /* may be NULL */
    /* Takes bytes of the tree: each once, in no order, from any thread but never two at a time.
     * Returns 0 or a negative errno, which ends the work. NULL: only the root is wanted. */
    int (*write)(void *userdata, uint64_t offset, const void *bytes, size_t size);
    void *userdata;
} MerkleOptions;

/* The tree of all of @data, of the shape that merkle_geometry_init() gives for its size; the root
 * of no data is zeros, as fs-verity has it. ERROR_FAILED says what could not be read or written,
 * unless @options->write has set @error itself. */
int merkle_tree_build(const ByteSource *data,
                      const MerkleOptions *options,
                      uint8_t ret_root[static MERKLE_HASH_SIZE],
                      Error *error);

/* A place in a file for a tree, and the function that writes it there. */
typedef struct MerkleFile {
    int fd;
    uint64_t offset; /* of the tree */
} MerkleFile;

int merkle_file_write(void *file, uint64_t offset, const void *bytes, size_t size);
