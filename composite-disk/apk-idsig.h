/* SPDX-License-Identifier: Apache-2.0 */
/* The idsig of an APK, with what the APK's signature says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/apk-signature.h"
#include "composite-disk/idsig-file.h"

/* What AVF's createOrUpdateIdsigFile does: @idsig_fd becomes the idsig, not signed, of the APK in
 * @apk_fd, or stays untouched when it is that already, with @ret_written false. The APK's digest is
 * taken as it says it, NOTHING of it is verified. Errors as idsig_file_update() has them, and
 * ERROR_IMAGE_INVALID for what is no signed APK. @progress may be NULL. */
int apk_idsig_update(
    int apk_fd, int idsig_fd, const Progress *progress, bool *ret_written, Error *error);

/* What a verified @signature of @apk says; lent by it. */
IdsigApk apk_idsig_describe(const ByteSource *apk, const ApkSignature *signature);
