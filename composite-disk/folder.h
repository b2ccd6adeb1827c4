/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a folder that becomes a zip: always in the same order, and nothing that a zip of files
 * cannot have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"

typedef struct FolderEntry {
    char *name; /* owned; relative to the folder, with a slash behind that of a directory */
    bool is_directory, is_executable;
    uint64_t size; /* of a file */
} FolderEntry;

typedef struct Folder {
    int fd;
    FolderEntry *entries; /* sorted by name, so that a directory is before what is in it */
    size_t n_entries;
    uint64_t size; /* of all files */
} Folder;

#define FOLDER_INIT   \
    {                 \
        .fd = -EBADF, \
    }

/* ERROR_INVALID_FILE names what is neither file nor directory, a symbolic link too, and a name that
 * no zip can have; or says that there are more than a zip's 65535 entries. */
int folder_read(const char *path, Folder *ret_folder, Error *error);
void folder_deinit(Folder *folder);

/* Opens a file of it; the caller closes @ret_source->fd. ERROR_INVALID_FILE when it is no file of
 * this folder any more. */
int folder_open_file(const Folder *folder,
                     const FolderEntry *entry,
                     ByteSource *ret_source,
                     Error *error);
