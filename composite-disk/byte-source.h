/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that others wrote, at random access: of a file, a block device or memory, or a part of
 * one. Every format is parsed from one of these, so that nothing depends on where it lies. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

typedef struct ByteSource ByteSource;

struct ByteSource {
    int fd;                  /* lent; negative: the bytes are in memory, or those of parts */
    const uint8_t *memory;   /* lent */
    uint64_t offset;         /* where the first byte is in the file */
    uint64_t size;           /* at most INT64_MAX, with the offset too */
    const ByteSource *parts; /* lent; one after the other, offset counts over all; NULL: none */
    size_t n_parts;
};

ByteSource byte_source_from_memory(const void *data, size_t size);

/* The whole of a regular file or block device that @fd is open on for reading; its file offset is
 * not used. ERROR_INVALID_FILE names @name and what is wrong with it. */
int byte_source_from_fd(int fd, const char *name, ByteSource *ret_source, Error *error);

/* Opens @path for what byte_source_from_fd() makes of it, which is to say what is no file or block
 * device: that is not opened itself (O_PATH), for a pipe would wait, a terminal become ours, and a
 * watchdog begin to count. @path may come from an image that others made. @mode: O_RDONLY or
 * O_RDWR. Source of the way: open(2), O_PATH. */
int byte_source_open_file(int directory_fd, const char *path, int mode, int *ret_fd);

/* Opens @path, following symbolic links, and never waits for it to open. The caller closes
 * @ret_source->fd. ERROR_INVALID_FILE as above. */
int byte_source_open(const char *path, ByteSource *ret_source, Error *error);

/* The bytes of @parts, which are not joined themselves, one after the other; -EFBIG when they are
 * more than INT64_MAX. */
int byte_source_join(const ByteSource *parts, size_t n_parts, ByteSource *ret_source);

/* @size bytes of @source from @offset on; -EBADMSG when they are not all inside. */
int byte_source_slice(const ByteSource *source,
                      uint64_t offset,
                      uint64_t size,
                      ByteSource *ret_slice);

/* Reads exactly @size bytes at @offset; -EBADMSG when they are not all inside, or when the file has
 * become shorter. */
int byte_source_read(const ByteSource *source, uint64_t offset, void *buffer, size_t size);

/* All the bytes, with a NUL behind them, which the caller frees; -EFBIG when they are more than
 * @max. */
int byte_source_read_all(const ByteSource *source, size_t max, uint8_t **ret_bytes);
