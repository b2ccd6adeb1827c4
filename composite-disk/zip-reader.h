/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a zip file, checked whole when it is opened: afterwards every name is one that a
 * file system can show, and every entry's bytes are its own. ZipStream reads them.
 * Refused, beside what zip_find_sections() refuses: encryption, methods but stored and deflated,
 * names that are no UTF-8, have control characters or backslashes, are absolute or climb with "..",
 * names twice, files in place of directories, symbolic links and devices, entries that overlap,
 * local headers that say something else. Source: PKWARE's APPNOTE.TXT 6.3.10. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"

#define ZIP_NAME_MAX 4095 /* bytes: what a path can have */

typedef enum ZipMethod {
    ZIP_STORED = 0,
    ZIP_DEFLATED = 8,
} ZipMethod;

typedef struct ZipEntry {
    const char *name; /* relative; a directory's ends with a slash */
    ZipMethod method;
    bool is_directory;
    uint16_t mode; /* permissions and type as in Unix, 0 where the zip has none */
    uint32_t checksum;
    uint64_t header_offset, data_offset;
    uint64_t compressed_size, size;
} ZipEntry;

typedef struct ZipReader {
    ByteSource source;
    ZipEntry *entries; /* in the order of the directory */
    size_t n_entries;
    const ZipEntry **by_name; /* a directory stands right before what is in it */
    uint8_t *directory;       /* where the names are */
} ZipReader;

/* @zip: its descriptor or memory is lent until zip_reader_free(). ERROR_IMAGE_INVALID names the
 * entry and what is wrong. */
int zip_reader_new(const ByteSource *zip, ZipReader **ret_reader, Error *error);
ZipReader *zip_reader_free(ZipReader *reader);
DEFINE_CLEANUP(ZipReader, zip_reader_free);

/* NULL when there is none of that name. */
const ZipEntry *zip_reader_find(const ZipReader *reader, const char *name);

/* -EINVAL for a name that no entry can have, with the reason in @ret_reason. */
int zip_check_name(const char *name, size_t size, const char **ret_reason);
