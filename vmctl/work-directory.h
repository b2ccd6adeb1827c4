/* SPDX-License-Identifier: Apache-2.0 */
/* A directory that is made, with those above it, where it is not there; and goes again as long as
 * it is of no use. */
#pragma once

#include <stddef.h>

#include "common/error.h"

typedef struct WorkDirectory {
    char *path;       /* NULL: there is none */
    size_t made_size; /* length of the topmost part of it that was made; 0: all was there */
} WorkDirectory;

/* The directory @path, or if that is NULL, the one of @name among the user's state, as the XDG Base
 * Directory Specification has it: $XDG_STATE_HOME/vmctl/NAME, which is the user's alone. @directory
 * was zero. */
int work_directory_make(WorkDirectory *directory, const char *path, const char *name, Error *error);

/* Once something in it is of use. */
void work_directory_keep(WorkDirectory *directory);

/* Removes what was made, if it is empty, unless it is kept. */
void work_directory_deinit(WorkDirectory *directory);
