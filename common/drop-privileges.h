/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up privilege for good. */
#pragma once

#include <sys/types.h>

/* Becomes @uid and @gid, in no other group, without any capability, in no set, and with no way to
 * get one back. The calling process has one thread. Checks that it worked. In a user namespace that
 * denies setgroups(2), the other groups have to be gone before. */
int drop_privileges(uid_t uid, gid_t gid);

/* The same for a process that keeps its ids. */
int drop_capabilities(void);
