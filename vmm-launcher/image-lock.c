/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/image-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

int image_lock(int fd, bool writable, int *ret_lock, Error *error)
{
    /* Not the bytes that QEMU locks itself, among those of its kind (block/file-posix.c,
     * RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE). */
    struct flock locks[] = {
        { .l_whence = SEEK_SET, .l_start = 0, .l_len = 100 },
        { .l_whence = SEEK_SET, .l_start = 300, .l_len = 0 /* to the end */ },
    };
    struct stat status;
    _cleanup_close_ int locked = -EBADF;

    *ret_lock = -EBADF;
    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at a disk image");
    if (!S_ISREG(status.st_mode) || memfd_is_sealed(fd))
        return 0;
    /* Does not wait for who has a lease on the file: up to 45 seconds, and more than a launch
     * takes. */
    int r = fd_reopen(fd, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK, &locked);
    if (r == -EWOULDBLOCK)
        return error_set(error, ERROR_IMAGE_BUSY,
                         "another process has a lease on a disk image (inode %ju): try again",
                         (uintmax_t)status.st_ino);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open a disk image anew");
    for (size_t i = 0; i < ELEMENTS_OF(locks); i++) {
        locks[i].l_type = writable ? F_WRLCK : F_RDLCK;
        if (fcntl(locked, F_OFD_SETLK, &locks[i]) < 0)
            return error_set(error, ERROR_IMAGE_BUSY,
                             "a %s disk image (inode %ju) is in use by another process",
                             writable ? "writable" : "read-only", (uintmax_t)status.st_ino);
    }

    *ret_lock = take_fd(&locked);
    return 0;
}
