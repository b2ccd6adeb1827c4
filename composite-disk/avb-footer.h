/* SPDX-License-Identifier: Apache-2.0 */
/* The footer in the last bytes of a partition that says where in it the vbmeta structure is, and
 * how large the image was before anything was appended to it. Source: AOSP, external/avb,
 * libavb/avb_footer.h.
 *
 *   magic (4), version (32, 32), size of the image, offset and size of vbmeta (64), 28 zeros;
 *   numbers are big-endian */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"

#define AVB_FOOTER_SIZE          64
#define AVB_FOOTER_VERSION_MAJOR 1
#define AVB_FOOTER_VERSION_MINOR 0

typedef struct AvbFooter {
    uint64_t image_size;
    uint64_t vbmeta_offset, vbmeta_size;
} AvbFooter;

void avb_footer_encode(const AvbFooter *footer, uint8_t ret_bytes[static AVB_FOOTER_SIZE]);

/* Reads it from the end of @source: 1, 0 when there is none, ERROR_IMAGE_INVALID when what it says
 * lies outside, overlaps or is of another version. */
int avb_footer_read(const ByteSource *source, AvbFooter *ret_footer, Error *error);
