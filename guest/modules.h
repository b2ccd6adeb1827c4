/* SPDX-License-Identifier: Apache-2.0 */
/* Loads kernel modules from the initramfs. build-image wrote the lists, a file name in /lib/modules
 * a line, each module behind those it needs: nothing is resolved in the guest. */
#pragma once

#include "common/error.h"

#define MODULE_NAME_MAX 64

/* Copies the next file name of the list at *@cursor into @name and moves the cursor on. Returns 1,
 * 0 at the end, -EBADMSG for what is not a plain file name. */
int modules_next_name(const char **cursor, char name[static MODULE_NAME_MAX + 1]);

/* Loads the modules listed in @path. One that is there already is fine. */
int modules_load(const char *path, Error *error);
