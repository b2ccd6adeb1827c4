/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of disk image a file looks like, by the first bytes that crosvm looks at when it opens
 * one (disk/src/disk.rs, detect_image_type). */
#pragma once

#include "composite-disk/byte-source.h"

typedef enum ImageFormat {
    IMAGE_RAW, /* none of the others */
    IMAGE_COMPOSITE,
    IMAGE_QCOW2,
    IMAGE_ANDROID_SPARSE,
    IMAGE_ZSTD,
    IMAGE_FORMAT_MAX,
} ImageFormat;

/* "a qcow2 image" and so on, for sentences. */
const char *image_format_describe(ImageFormat format);

int image_format_probe(const ByteSource *source, ImageFormat *ret_format);
