/* SPDX-License-Identifier: Apache-2.0 */
/* A file that appears under its name whole, or not at all: it has no name (or, on file systems
 * without O_TMPFILE, another one) until it is written and on the disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

typedef struct OutputFile {
    int fd; /* open for reading and writing; empty at first */
    int directory_fd;
    char *name;      /* in that directory */
    char *temporary; /* the name that it has there until then; NULL: none */
    bool replace;
} OutputFile;

#define OUTPUT_FILE_INIT                      \
    {                                         \
        .fd = -EBADF, .directory_fd = -EBADF, \
    }

/* @path must not exist unless @replace: ERROR_INVALID_FILE. A symbolic link of that name is
 * replaced itself, never written through; anything but a file or a link is not replaced. */
int output_file_open(const char *path, bool replace, OutputFile *ret_file, Error *error);

/* Flushes the file to the disk and gives it its name. With an error nothing has changed there. */
int output_file_commit(OutputFile *file, Error *error);

/* The same for files that belong together, in this order; all in one directory. With an error none
 * is there, but for those that have replaced an older one. */
int output_file_commit_all(OutputFile *const *files, size_t n_files, Error *error);

/* Takes back what output_file_commit() did, for a file that belongs to another one which could not
 * be made; not where it has replaced an older one. */
void output_file_withdraw(const OutputFile *file);

/* Drops the file unless it was committed. */
void output_file_deinit(OutputFile *file);
