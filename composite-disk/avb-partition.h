/* SPDX-License-Identifier: Apache-2.0 */
/* Holds partition images against their vbmeta descriptors, and makes such descriptors. Images are
 * read once, in constant memory. */
#pragma once

#include "common/error.h"
#include "composite-disk/avb-descriptor.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/progress.h"

/* The hash of salt and image, as a hash descriptor has it: SHA-256 of all of @image.
 * @ret_digest is where @ret_hash->digest is then; @name and @salt are lent by it, too. */
int avb_partition_make_hash(const ByteSource *image,
                            const char *name,
                            AvbBytes salt,
                            const Progress *progress,
                            uint8_t ret_digest[static AVB_DIGEST_SIZE_MAX],
                            AvbHash *ret_hash,
                            Error *error);

/* The first @hash->image_size bytes of @image are what the descriptor says. ERROR_IMAGE_INVALID
 * when they are not, ERROR_NOT_SUPPORTED for a hash that is not known or on the device only. */
int avb_partition_verify_hash(const AvbHash *hash,
                              const ByteSource *image,
                              const Progress *progress,
                              Error *error);

/* The same of a hash tree and the data under it: both are read, and the tree in the image is the
 * one that dm-verity would need. Where the tree vouches for other data than there is, the error
 * names the first such block. Trees of SHA-256 over blocks of 4096 bytes only. */
int avb_partition_verify_hashtree(const AvbHashtree *tree,
                                  const ByteSource *image,
                                  const Progress *progress,
                                  Error *error);
