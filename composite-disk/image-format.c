/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/image-format.h"

#include <string.h>

#include "composite-disk/composite-descriptor.h"

#define MAGIC_MAX COMPOSITE_MAGIC_SIZE

static const struct {
    const char *description;
    const char *magic;
    size_t magic_size;
} formats[IMAGE_FORMAT_MAX] = {
    [IMAGE_RAW] = { "a raw image", NULL, 0 },
    [IMAGE_COMPOSITE] = { "a composite disk", COMPOSITE_MAGIC, COMPOSITE_MAGIC_SIZE },
    [IMAGE_QCOW2] = { "a qcow2 image", "QFI\xfb", 4 },
    [IMAGE_ANDROID_SPARSE] = { "an Android sparse image", "\x3a\xff\x26\xed", 4 },
    [IMAGE_ZSTD] = { "a zstd file", "\x28\xb5\x2f\xfd", 4 },
};

const char *image_format_describe(ImageFormat format)
{
    return formats[format].description;
}

int image_format_probe(const ByteSource *source, ImageFormat *ret_format)
{
    uint8_t begin[MAGIC_MAX];
    size_t size = source->size < sizeof(begin) ? (size_t)source->size : sizeof(begin);

    int r = byte_source_read(source, 0, begin, size);
    if (r < 0)
        return r;
    *ret_format = IMAGE_RAW;
    for (unsigned i = IMAGE_RAW + 1; i < IMAGE_FORMAT_MAX; i++) {
        if (size >= formats[i].magic_size &&
            memcmp(begin, formats[i].magic, formats[i].magic_size) == 0)
            *ret_format = (ImageFormat)i;
    }
    return 0;
}
