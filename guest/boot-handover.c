/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/boot-handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

/* Both sides are of one image and one compiler: the struct itself is the format. */
_Static_assert(sizeof(BootHandover) <= 4096, "a pipe takes it in one write");

int boot_handover_send(const BootHandover *handover, Error *error)
{
    int pipe_fds[2];

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    _cleanup_close_ int reader = pipe_fds[0], writer = pipe_fds[1];
    int r = fd_write_all(writer, handover, sizeof(*handover));
    if (r >= 0 && reader == BOOT_HANDOVER_FD)
        r = fd_set_cloexec(take_fd(&reader), false);
    else if (r >= 0 && dup2(reader, BOOT_HANDOVER_FD) < 0)
        r = -errno;
    if (writer == BOOT_HANDOVER_FD)
        (void)take_fd(&writer); /* dup2() has closed it */
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot hand over the secrets") : 0;
}

int boot_handover_receive(BootHandover *ret_handover, Error *error)
{
    _cleanup_close_ int fd = BOOT_HANDOVER_FD;
    uint8_t bytes[sizeof(*ret_handover) + 1]; /* one of another size is another program's */

    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "first-stage has handed nothing over");
    if (n == sizeof(*ret_handover))
        memcpy(ret_handover, bytes, sizeof(*ret_handover));
    explicit_bzero(bytes, sizeof(bytes));
    return n == sizeof(*ret_handover)
               ? 0
               : error_set(error, ERROR_FAILED, "first-stage has handed over %zd bytes", n);
}
