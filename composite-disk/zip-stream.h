/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a zip entry from its beginning to its end, inflated where they are deflated, in
 * constant memory. Their number is exactly the entry's and their checksum is right, or the read
 * that would have given the last of them fails. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/zip-reader.h"

typedef struct ZipStream ZipStream;

/* Both are lent until zip_stream_free(). */
int zip_stream_new(const ZipReader *reader,
                   const ZipEntry *entry,
                   ZipStream **ret_stream,
                   Error *error);
ZipStream *zip_stream_free(ZipStream *stream);
DEFINE_CLEANUP(ZipStream, zip_stream_free);

/* Fills @buffer, but for what the entry has no more of; 0 bytes at its end. After an error the
 * stream gives nothing but errors. */
int zip_stream_read(ZipStream *stream, void *buffer, size_t size, size_t *ret_size, Error *error);

/* All of an entry that has at most @size_max bytes, with a NUL behind them; the caller frees. */
int zip_read_entry(const ZipReader *reader,
                   const ZipEntry *entry,
                   size_t size_max,
                   uint8_t **ret_data,
                   size_t *ret_size,
                   Error *error);
