/* SPDX-License-Identifier: Apache-2.0 */
/* The archive (APK) of an app, looked into before there is a VM: what can be run out of it. Whether
 * the archive is genuine is the guest's to say. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "composite-disk/zip-reader.h"

typedef struct AppArchive {
    const char *path; /* lent */
    ByteSource source;
    ZipReader *reader;
} AppArchive;

#define APP_ARCHIVE_INIT          \
    {                             \
        .source = {.fd = -EBADF } \
    }

/* ERROR_INVALID_FILE for what is no file, ERROR_IMAGE_INVALID for a file that is no archive. */
int app_archive_open(const char *path, AppArchive *ret_archive, Error *error);
void app_archive_deinit(AppArchive *archive);

/* That a guest finds @binary in the archive, or if that is NULL, the one program or library that it
 * has. @ret_binary is lent by the archive or @binary. ERROR_INVALID_ARGUMENT lists what there is.
 */
int app_archive_find_binary(const AppArchive *archive,
                            const char *binary,
                            const char **ret_binary,
                            Error *error);

/* The paths of the extra APKs that the configuration in the archive, vm_config.json in AVF, names;
 * a relative one begins where the archive is. Of the rest of it the guest is the judge. The caller
 * frees them with app_archive_free_extra_apks(). */
int app_archive_read_extra_apks(const AppArchive *archive,
                                const char *config_path,
                                char ***ret_paths,
                                size_t *ret_n_paths,
                                Error *error);
void app_archive_free_extra_apks(char **paths, size_t n_paths);
