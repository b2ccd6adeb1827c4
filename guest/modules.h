/* SPDX-License-Identifier: Apache-2.0 */
/* Loads kernel modules from the initramfs. build-image wrote the lists, a file name in /lib/modules
 * a line, with a space and its options behind it if there are any, each module behind those it
 * needs: nothing is resolved in the guest. */
#pragma once

#include "common/error.h"

#define MODULE_NAME_MAX    64
#define MODULE_OPTIONS_MAX 64

typedef struct Module {
    char name[MODULE_NAME_MAX + 1];
    char options[MODULE_OPTIONS_MAX + 1]; /* as for finit_module(2) */
} Module;

/* Reads the next line of the list at *@cursor and moves the cursor on. Returns 1, 0 at the end,
 * -EBADMSG for a name that is not a plain file name, or what is too long. */
int modules_next(const char **cursor, Module *ret_module);

/* Loads the modules listed in @path. One that is there already is fine. */
int modules_load(const char *path, Error *error);
