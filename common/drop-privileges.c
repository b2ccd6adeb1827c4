/* SPDX-License-Identifier: Apache-2.0 */
#include "common/drop-privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECUREBITS_LOCKED                                                   \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | \
     SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static int clear_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int empty_bounding_set(void)
{
    for (unsigned long capability = 0;; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return errno == EINVAL ? 0 : -errno; /* past the last one */
    }
}

/* What has to be done while there still are capabilities. */
static int forbid_capabilities(void)
{
    int r = empty_bounding_set();
    if (r < 0)
        return r;
    return prctl(PR_SET_SECUREBITS, SECUREBITS_LOCKED, 0, 0, 0) < 0 ? -errno : 0;
}

static int finish(void)
{
    int r = clear_capabilities();
    if (r < 0)
        return r;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int drop_privileges(uid_t uid, gid_t gid)
{
    int r = forbid_capabilities();
    if (r < 0)
        return r;
    if ((getgroups(0, NULL) != 0 && setgroups(0, NULL) < 0) || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return -errno;
    r = finish();
    if (r < 0)
        return r;

    if (setuid(0) == 0 || setgid(0) == 0)
        return -ENOTRECOVERABLE;
    return 0;
}

int drop_capabilities(void)
{
    int r = forbid_capabilities();

    return r < 0 ? r : finish();
}
