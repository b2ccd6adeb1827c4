/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/mounts.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"

int mounts_set_up(Error *error)
{
    static const struct {
        const char *type, *where, *options;
        unsigned long flags;
    } mounts[] = {
        { "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC },
        /* A payload may stand in /run and be run from there, so not noexec. */
        { "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
        { "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
    };

    for (size_t i = 0; i < ELEMENTS_OF(mounts); i++) {
        if (mkdir(mounts[i].where, 0755) < 0 && errno != EEXIST)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", mounts[i].where);
        if (mount(mounts[i].type, mounts[i].where, mounts[i].type, mounts[i].flags,
                  mounts[i].options) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot mount %s", mounts[i].where);
    }
    return 0;
}
