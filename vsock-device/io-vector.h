/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of scattered memory, as in readv(2). */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

/* Describes @size bytes from @offset on; @parts must hold as many. @ret_slice has room for
 * @n_parts. Returns the number of parts in it. */
size_t io_vector_slice(
    const struct iovec *parts, size_t n_parts, size_t offset, size_t size, struct iovec *ret_slice);

/* Copy from and to the beginning of @parts. */
void io_vector_copy_out(const struct iovec *parts, void *destination, size_t size);
void io_vector_copy_in(const struct iovec *parts, const void *source, size_t size);
