/* SPDX-License-Identifier: Apache-2.0 */
/* Appends to the image of a partition what dm-verity and a boot loader need to verify it: a hash
 * tree, a vbmeta structure with its descriptor and the footer that leads there, laid out as
 * avbtool's add_hashtree_footer does without forward error correction:
 *
 *   image, zeros up to 4096 | tree | vbmeta, zeros up to 4096 | hole | zeros, footer (4096) */
#pragma once

#include "common/error.h"
#include "composite-disk/avb-descriptor.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/progress.h"
#include "composite-disk/vbmeta-make.h"

#define AVB_IMAGE_ALIGNMENT 4096

typedef struct AvbImageOptions {
    const char *name;        /* of the partition */
    AvbBytes salt;           /* of the tree; at most AVB_SALT_SIZE_MAX */
    uint64_t partition_size; /* a multiple of AVB_IMAGE_ALIGNMENT; 0: the smallest that does */
    /* Its descriptors, which may be none, follow that of the tree. */
    const VbmetaContents *contents;
    const Progress *progress;
} AvbImageOptions;

typedef struct AvbImage {
    AvbHashtree tree; /* its name and salt are the options', its digest is below */
    uint8_t root[AVB_DIGEST_SIZE_MAX];
    AvbFooter footer;
    uint64_t partition_size;
} AvbImage;

/* Changes the file that @fd is open on for reading and writing, a regular one without a footer.
 * Refused before it is touched: ERROR_INVALID_ARGUMENT for a partition size that is too small,
 * which names the smallest, and all that vbmeta_make() refuses; ERROR_INVALID_FILE for a file that
 * is none or empty; ERROR_IMAGE_INVALID for one that has a footer.
 *
 * Tree, vbmeta and footer are each on the disk before the next is written. After an error the file
 * is cut to the size that it had; after a crash it is the image and bytes that nothing leads to. */
int avb_image_add_hashtree(int fd,
                           const char *file_name,
                           const AvbImageOptions *options,
                           AvbImage *ret_image,
                           Error *error);
