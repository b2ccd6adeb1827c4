/* SPDX-License-Identifier: Apache-2.0 */
/* Copies an image into a new file: holes stay holes, and where the file system can share blocks it
 * does. */
#pragma once

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"

/* Copies all of @source to the beginning of @fd, an empty regular file that @name is for messages;
 * it has the size of @source then. @progress may be NULL. */
int image_copy(
    const ByteSource *source, int fd, const char *name, const Progress *progress, Error *error);
