/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up privilege for good. */
#pragma once

#include <sys/types.h>

/* Becomes @uid and @gid, with @additional_gid as the only other group if it is not 0; without any
 * capability, in no set, and with no way to get one back. The calling
 * process has one thread. Checks that it worked. */
int drop_privileges(uid_t uid, gid_t gid, gid_t additional_gid);
