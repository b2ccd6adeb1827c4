/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a zip file, the same bytes for the same entries: no times, no order of its own. What it
 * writes, ZipReader reads. Source: PKWARE's APPNOTE.TXT 6.3.10; the extra field that aligns, AOSP,
 * tools/apksig, ApkSigner.java ("0xd935"). */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"
#include "composite-disk/zip-reader.h"

#define ZIP_ALIGNMENT_MAX 4096

typedef struct ZipNewEntry {
    const char *name; /* as zip_check_name() takes it; a directory's ends with a slash */
    uint16_t mode;    /* permissions; the type comes from the name */
    ZipMethod method;
    uint32_t alignment; /* of the data, a power of two up to ZIP_ALIGNMENT_MAX; what is stored has
                           at least 4, as Android wants it. A guest maps what is on a multiple of
                           its page size. */
} ZipNewEntry;

typedef struct ZipWriter ZipWriter;

/* @fd: an empty file, lent; bytes are written at its own offset. @content_size is what all entries
 * will have, for @progress, which may be NULL. */
int zip_writer_new(
    int fd, uint64_t content_size, const Progress *progress, ZipWriter **ret_writer, Error *error);
ZipWriter *zip_writer_free(ZipWriter *writer);
DEFINE_CLEANUP(ZipWriter, zip_writer_free);

/* Adds an entry with all bytes of @content, none for a directory. ERROR_INVALID_FILE names an entry
 * that no zip can have: a bad name, 4 GiB or more, one too many. That a name is not there yet is
 * the caller's duty. After an error the file is of no use. */
int zip_writer_add(ZipWriter *writer,
                   const ZipNewEntry *entry,
                   const ByteSource *content,
                   Error *error);

/* Writes central directory and end record: the file is a zip then. */
int zip_writer_finish(ZipWriter *writer, Error *error);
