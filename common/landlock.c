/* SPDX-License-Identifier: Apache-2.0 */
#include "common/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"

/* Later versions than the kernel headers of Debian 12 know; values of include/uapi/linux/landlock.h
 * in Linux 6.12. */
#define ACCESS_FS_TRUNCATE  (UINT64_C(1) << 14) /* version 3 */
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define ACCESS_NET_ALL      UINT64_C(3)         /* version 4 */
#define SCOPE_ALL           UINT64_C(3)         /* version 6 */

#define ACCESS_FS_1 ((UINT64_C(1) << 13) - 1)

typedef struct RulesetAttributes {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
} RulesetAttributes;

int landlock_get_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return abi < 0 ? 0 : (int)abi;
}

static int make_ruleset(int abi, RulesetAttributes *attributes)
{
    size_t size = sizeof(attributes->handled_access_fs);

    attributes->handled_access_fs = ACCESS_FS_1;
    if (abi >= 2)
        attributes->handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attributes->handled_access_fs |= ACCESS_FS_TRUNCATE;
    if (abi >= 4) {
        attributes->handled_access_net = ACCESS_NET_ALL;
        size = offsetof(RulesetAttributes, scoped);
    }
    if (abi >= 5)
        attributes->handled_access_fs |= ACCESS_FS_IOCTL_DEV;
    if (abi >= 6) {
        attributes->scoped = SCOPE_ALL;
        size = sizeof(*attributes);
    }
    long fd = syscall(SYS_landlock_create_ruleset, attributes, size, 0);
    return fd < 0 ? -errno : (int)fd;
}

static int add_rule(int ruleset, uint64_t handled, const LandlockRule *rule)
{
    struct landlock_path_beneath_attr beneath = { 0 };

    _cleanup_close_ int fd = open(rule->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    beneath.parent_fd = fd;
    beneath.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    beneath.allowed_access |= rule->device
                                  ? (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_IOCTL_DEV) & handled
                                  : LANDLOCK_ACCESS_FS_EXECUTE;
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0
               ? -errno
               : 0;
}

int landlock_restrict(const LandlockRule *rules)
{
    RulesetAttributes attributes = { 0 };

    int abi = landlock_get_abi();
    if (abi == 0)
        return 0;
    _cleanup_close_ int ruleset = make_ruleset(abi, &attributes);
    if (ruleset < 0)
        return ruleset;
    for (; rules->path; rules++) {
        int r = add_rule(ruleset, attributes.handled_access_fs, rules);
        if (r < 0)
            return r;
    }
    return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
