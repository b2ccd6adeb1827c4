/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the files that settings are read from, and their order: systemd's, as
 * systemd-system.conf(5) and systemd.unit(5) tell it. Reads none of them. */
#pragma once

#include "common/error.h"

#define SETTINGS_FILE            "virtualizationd.conf"
#define SETTINGS_DIRECTORIES_MAX 3
#define SETTINGS_FILES_MAX       256 /* drop-ins of one directory, and in all */

/* Where settings are looked for. */
typedef struct SettingsPlaces {
    const char *file; /* that file, which must be there, and FILE.d; or NULL, and: */
    const char *directories[SETTINGS_DIRECTORIES_MAX]; /* the first wins; NULL behind the last */
} SettingsPlaces;

/* The paths of the files that count, in the order in which they are to be read: what is read later
 * wins. NULL behind the last. The caller frees them with settings_files_free(). */
int settings_files_find(const SettingsPlaces *places, char ***ret_paths, Error *error);
char **settings_files_free(char **paths);
