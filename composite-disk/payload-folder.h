/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that becomes the archive of a payload: a signed APK with a manifest, whose files are
 * stored where a guest maps them in place. */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "composite-disk/apk-manifest.h"
#include "composite-disk/apk-signature.h"
#include "composite-disk/folder.h"
#include "composite-disk/progress.h"
#include "composite-disk/signing-key.h"

/* As on a command line, with options of these names; NULL: not given. */
typedef struct PayloadRequest {
    const char *folder;
    const char *package;      /* else "payload." and the folder's name */
    const char *version_code; /* a number; else 1 */
} PayloadRequest;

typedef struct PayloadFolder {
    char *path; /* without symbolic links */
    Folder folder;
    ApkManifest manifest; /* what the archive will say */
    bool has_manifest;    /* in a file of the folder, to which nothing is added */
} PayloadFolder;

#define PAYLOAD_FOLDER_INIT    \
    {                          \
        .folder = FOLDER_INIT, \
    }

/* ERROR_INVALID_ARGUMENT for a package or version that cannot be, or is asked for although the
 * folder has a manifest; errors of folder_read(); ERROR_IMAGE_INVALID for a bad manifest. */
int payload_folder_read(const PayloadRequest *request, PayloadFolder *ret_payload, Error *error);
void payload_folder_deinit(PayloadFolder *payload);

/* For a file that must not get into the archive: itself, an earlier one, a key.
 * ERROR_INVALID_ARGUMENT when @path, which need not be there yet, is in the folder. */
int payload_folder_check_outside(const PayloadFolder *payload, const char *path, Error *error);

/* How many files and directories the archive has. */
size_t payload_folder_count(const PayloadFolder *payload);

/* Writes the archive into the empty file @apk_fd by way of @zip_fd, another one, of no use
 * afterwards. The same files, RSA key and certificate give the same bytes. @progress may be NULL.
 */
int payload_folder_write(const PayloadFolder *payload,
                         const SigningKey *key,
                         int zip_fd,
                         int apk_fd,
                         const Progress *progress,
                         ApkSignature **ret_signature,
                         Error *error);
