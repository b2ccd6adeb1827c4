/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-device/io-vector.h"

#include <assert.h>
#include <string.h>

size_t io_vector_slice(
    const struct iovec *parts, size_t n_parts, size_t offset, size_t size, struct iovec *ret_slice)
{
    size_t n = 0;

    for (size_t i = 0; i < n_parts && size > 0; i++) {
        if (offset >= parts[i].iov_len) {
            offset -= parts[i].iov_len;
            continue;
        }

        size_t available = parts[i].iov_len - offset;
        size_t taken = available < size ? available : size;
        ret_slice[n++] = (struct iovec){
            .iov_base = (char *)parts[i].iov_base + offset,
            .iov_len = taken,
        };
        size -= taken;
        offset = 0;
    }
    assert(size == 0);
    return n;
}

void io_vector_copy_out(const struct iovec *parts, void *destination, size_t size)
{
    char *to = destination;

    for (; size > 0; parts++) {
        size_t n = parts->iov_len < size ? parts->iov_len : size;
        memcpy(to, parts->iov_base, n);
        to += n;
        size -= n;
    }
}

void io_vector_copy_in(const struct iovec *parts, const void *source, size_t size)
{
    const char *from = source;

    for (; size > 0; parts++) {
        size_t n = parts->iov_len < size ? parts->iov_len : size;
        memcpy(parts->iov_base, from, n);
        from += n;
        size -= n;
    }
}
