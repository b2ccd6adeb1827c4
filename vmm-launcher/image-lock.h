/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps others off an image file while it is used: exclusively off one that is written. */
#pragma once

#include <stdbool.h>

#include "common/error.h"

/* Locks the regular file behind @fd, on an open file description of its own, so that whoever shares
 * @fd has no way to release it; closing @ret_lock does. -EBADF in @ret_lock for what needs no lock:
 * a device, or a memory file that nobody can change. ERROR_IMAGE_BUSY when another process has it
 * locked. */
int image_lock(int fd, bool writable, int *ret_lock, Error *error);
