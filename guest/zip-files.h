/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of any part of any file in a zip, in bounded memory. A stored file is read in place. A
 * deflated one is inflated up to there: by the stream that an earlier read has left at, or shortly
 * before, that place, or else from its beginning. Only so many streams are kept, whatever is read;
 * so nobody has to say that a file is opened or closed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/zip-reader.h"

#define ZIP_FILES_STREAMS 32 /* at some 60 KiB each */

typedef struct ZipFiles ZipFiles;

/* @reader is lent until zip_files_free(). */
int zip_files_new(const ZipReader *reader, ZipFiles **ret_files, Error *error);
ZipFiles *zip_files_free(ZipFiles *files);
DEFINE_CLEANUP(ZipFiles, zip_files_free);

/* Reads what the file has of @size bytes at @offset. Damage of deflated data is told by the first
 * read that meets it, a wrong checksum of theirs by the one that gets the last byte. The checksum
 * of stored data is not looked at, which would take more than the bytes that are asked for: below a
 * guest's archive is a hash tree. */
int zip_files_read(ZipFiles *files,
                   const ZipEntry *entry,
                   uint64_t offset,
                   void *buffer,
                   size_t size,
                   size_t *ret_size,
                   Error *error);
