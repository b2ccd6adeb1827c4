/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vm-uid.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/random.h"

/* Not in a runtime directory: the uids are the host's, whichever daemon asks. The directory stays,
 * as a launcher may have it mounted for itself. */
#define LOCK_DIRECTORY "/run/virtualizationd-uids"
#define LOCK_FILE      LOCK_DIRECTORY "/lock"

static int lock_bytes(int fd, uint32_t start, uint32_t count)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)start, .l_len = (off_t)count
    };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static int unlock_byte(int fd, uint32_t offset)
{
    struct flock lock = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1
    };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Whether @fd still is the file of that name: it is removed when it is idle. */
static bool is_current(int fd)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && stat(LOCK_FILE, &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Whether a process of @uid is left: the lock of a VM's supervisor and stub may be gone a moment
 * before the kernel has cleared the rest of the pid namespace away. */
static int uid_is_in_use(uid_t uid)
{
    errno = 0;
    if (getpriority(PRIO_USER, uid) < 0 && errno != 0) /* a priority may be negative, too */
        return errno == ESRCH ? 0 : -errno;
    return 1;
}

/* A lock on a free byte of @fd from @start on: its offset, -EAGAIN when all are taken, or -ESTALE
 * when the file has been removed meanwhile, whoever holds locks of it. */
static int lock_free_byte(int fd, uint32_t start)
{
    for (uint32_t i = 0; i < VM_UID_COUNT; i++) {
        uint32_t offset = (start + i) % VM_UID_COUNT;

        int r = lock_bytes(fd, offset, 1);
        if (r == -EAGAIN || r == -EACCES)
            continue;
        if (r >= 0)
            r = uid_is_in_use(VM_UID_MIN + offset);
        if (r < 0)
            return r;
        if (r == 0)
            return is_current(fd) ? (int)offset : -ESTALE;
        r = unlock_byte(fd, offset);
        if (r < 0)
            return r;
    }
    return is_current(fd) ? -EAGAIN : -ESTALE;
}

int vm_uid_acquire(uid_t *ret_uid, int *ret_lock_fd, Error *error)
{
    uint32_t start;

    /* Not from the beginning each time: an ended VM's uid rests for a while. */
    int r = random_fill(&start, sizeof(start));
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random number");
    if (mkdir(LOCK_DIRECTORY, 0700) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", LOCK_DIRECTORY);

    for (;;) {
        _cleanup_close_ int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", LOCK_FILE);

        r = lock_free_byte(fd, start % VM_UID_COUNT);
        if (r == -ESTALE)
            continue;
        if (r == -EAGAIN)
            return error_set(error, ERROR_LIMITS_EXCEEDED, "all %u uids for VMs are taken",
                             VM_UID_COUNT);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot lock a uid");
        *ret_uid = VM_UID_MIN + (uint32_t)r;
        *ret_lock_fd = take_fd(&fd);
        return 0;
    }
}

void vm_uid_remove_lock_file(void)
{
    _cleanup_close_ int fd = open(LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && lock_bytes(fd, 0, VM_UID_COUNT) == 0 && is_current(fd))
        (void)unlink(LOCK_FILE);
}
