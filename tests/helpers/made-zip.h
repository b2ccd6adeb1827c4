/* SPDX-License-Identifier: Apache-2.0 */
/* Zips in memory for tests, made by ZipWriter, to be damaged at known places. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "composite-disk/byte-source.h"
#include "composite-disk/zip-writer.h"

typedef struct MadeEntry {
    ZipNewEntry entry;
    const char *content;
} MadeEntry;

typedef struct MadeZip {
    uint8_t *data; /* freed by made_zip_free() */
    size_t size;
} MadeZip;

MadeZip made_zip_new(const MadeEntry *entries, size_t n_entries);
void made_zip_free(MadeZip *zip);

static inline ByteSource made_zip_source(const MadeZip *zip)
{
    return byte_source_from_memory(zip->data, zip->size);
}

/* Where things are in a zip that nothing was done to yet. */
uint8_t *made_zip_end(const MadeZip *zip);
uint8_t *made_zip_record(const MadeZip *zip, size_t entry);
uint8_t *made_zip_local(const MadeZip *zip, size_t entry);

/* Moves what is there from @at on by @size zeros. */
void made_zip_insert(MadeZip *zip, size_t at, size_t size);

uint32_t get_le(const uint8_t *bytes, unsigned width);
void put_le(uint8_t *bytes, unsigned width, uint32_t value);
