/* SPDX-License-Identifier: Apache-2.0 */
/* The three parts of a zip file: entries, central directory, end record. Stricter than the format,
 * as Android is with APKs: the file begins with the zip and ends with it, nothing stands between
 * directory and end record, there are no ZIP64 records and no other volumes.
 * Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4; AOSP, libs/apkverify of
 * packages/modules/Virtualization. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"

#define ZIP_LOCAL_SIGNATURE     UINT32_C(0x04034b50)
#define ZIP_LOCAL_SIZE          30
#define ZIP_DIRECTORY_SIGNATURE UINT32_C(0x02014b50)
#define ZIP_DIRECTORY_SIZE      46
#define ZIP_END_SIGNATURE       UINT32_C(0x06054b50)
#define ZIP_END_SIZE            22
#define ZIP_END_OFFSET_FIELD    16 /* of the directory's offset in the end record */
#define ZIP_COMMENT_MAX         UINT16_MAX
#define ZIP64_MARK              UINT32_MAX /* in a field of 32 bits: the number is elsewhere */
#define ZIP_ENTRIES_MAX         UINT16_MAX
/* 256 bytes for each of the entries that there can be. */
#define ZIP_DIRECTORY_MAX (16U << 20)
/* A partition is larger than the zip on it by less than this, and has zeros there. */
#define ZIP_TAIL_ALIGNMENT 4096

typedef struct ZipSections {
    uint64_t directory_offset, directory_size;
    uint64_t end_offset, end_size; /* the end record with its comment */
    uint32_t n_entries;
} ZipSections;

/* Finds them in @zip, which ends where the end record does. ERROR_IMAGE_INVALID says what is wrong.
 * The directory itself is not looked at. */
int zip_find_sections(const ByteSource *zip, ZipSections *ret_sections, Error *error);

/* The zip on a partition that was filled up with zeros to a multiple of ZIP_TAIL_ALIGNMENT: the end
 * record tells where it ends, the rest must be zeros and shorter than that. */
int zip_cut_tail(const ByteSource *partition, ByteSource *ret_zip, Error *error);
