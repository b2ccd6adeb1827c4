/* SPDX-License-Identifier: Apache-2.0 */
/* A zip as a read-only file system, over FUSE on a /dev/fuse that somebody else has mounted.
 * Nothing in it ever changes, so the kernel is told to keep all that it has seen. Source:
 * fuse_lowlevel.h of libfuse 3.14. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "composite-disk/zip-reader.h"

typedef struct ZipfuseOptions {
    int fuse_fd;       /* taken */
    int ready_fd;      /* taken; gets one byte once the kernel has asked for the file system, and
                          is closed; negative: none */
    uint32_t uid, gid; /* of all files */
} ZipfuseOptions;

/* Serves @reader until it is unmounted, which is 0. */
int zipfuse_serve(const ZipReader *reader, const ZipfuseOptions *options, Error *error);
