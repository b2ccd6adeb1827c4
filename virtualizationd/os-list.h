/* SPDX-License-Identifier: Apache-2.0 */
/* Which operating systems for guests are installed: a directory each, with an os.json in it, whose
 * name is the system's. */
#pragma once

#include <stddef.h>

#define OS_DIRS_MAX  2
#define OS_NAMES_MAX 256

/* The names in @dirs (NULL behind the last; one that is missing is empty), sorted, each once. The
 * caller frees them with os_list_free(). Negative errno. */
int os_list_read(const char *const *dirs, char ***ret_names, size_t *ret_n_names);
char **os_list_free(char **names);
