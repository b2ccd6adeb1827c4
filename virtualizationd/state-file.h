/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of the daemon's own, each there whole or not at all. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name that a file has in its directory while it is written: of no file that counts. */
#define STATE_FILE_UNFINISHED ".unfinished"

/* Writes the file @name in @directory over the one that may be there. With @lasting it is on the
 * disk before this returns, for files that outlive the machine's run. Negative errno. */
int state_file_write(int directory, const char *name, const void *bytes, size_t size, bool lasting);

/* Reads a file of at most @size_max bytes. The caller frees @ret_bytes. -EFBIG, or -ENOENT. */
int state_file_read(
    int directory, const char *name, size_t size_max, uint8_t **ret_bytes, size_t *ret_size);
