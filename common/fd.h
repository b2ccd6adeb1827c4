/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: ownership, access mode, whole reads and writes, sealed memory files. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define _cleanup_close_ _cleanup_(fd_closep)

/* Closes @fd unless it is negative; errno stays as it was. Returns -EBADF to assign back. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
    (void)fd_close(*fd);
}

/* The descriptor in *@fd, which is left -EBADF: the caller owns it now. */
static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -EBADF;
    return taken;
}

void fd_close_many(int *fds, size_t n_fds);

/* Closes every descriptor above standard error but those in @keep and @also; negative ones in there
 * are ignored. */
void fd_close_all_but(const int *keep, size_t n_keep, int also);

/* O_RDONLY, O_WRONLY, O_RDWR or O_PATH; a negative errno for what is not an open descriptor. */
int fd_get_access_mode(int fd);

/* Puts /dev/null, for reading, where standard descriptors are closed: for the start of a program,
 * before a file that it opens takes their place and gets their output. */
void fd_occupy_standard(void);

/* A new open file description of the file behind @fd, with @flags as for open(2); close-on-exec.
 * Needs /proc, and the right to open the file anew. Sockets cannot be re-opened (-ENXIO). */
int fd_reopen(int fd, int flags, int *ret_fd);

int fd_set_nonblocking(int fd, bool nonblocking);
int fd_set_cloexec(int fd, bool cloexec);

/* Reads up to the end, or @size bytes. The descriptor must be a blocking one. */
int fd_read_all(int fd, void *data, size_t size, size_t *ret_size);

/* Writes all of @data or fails. The descriptor must be a blocking one. */
int fd_write_all(int fd, const void *data, size_t size);

/* The same at @offset; the descriptor's own is neither used nor moved. -EFBIG when the end would be
 * beyond INT64_MAX. */
int fd_pwrite_all(int fd, const void *data, size_t size, uint64_t offset);

/* Copies @source, which is at most @max_size bytes (else -EFBIG), from its beginning, whatever its
 * offset, which stays; @destination is written at its own. */
int fd_copy_all(int source, size_t max_size, int destination);

/* A new read-only file in memory with these bytes that nobody can ever change. */
int memfd_new_sealed(const char *name, const void *data, size_t size, int *ret_fd);

/* True for a memory file whose bytes and size are sealed. */
bool memfd_is_sealed(int fd);

/* Whether @fd is a stream socket of this host. */
bool fd_is_unix_stream(int fd);
