/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the project's other programs: they stand in the directory of the running one, installed
 * as in the build tree, so that no environment variable or setting has to be trusted. */
#pragma once

/* The caller frees *@ret_path. */
int program_dup_sibling_path(const char *name, char **ret_path);
