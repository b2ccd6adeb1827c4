/* SPDX-License-Identifier: Apache-2.0 */
/* A uid of its own for each VM, out of a reserved range; the group has the same number. Taken as
 * long as any process of the VM holds the lock: a byte of one lock file for the whole host, on an
 * open file description that supervisor and stub share. Nobody has to give it back. */
#pragma once

#include <sys/types.h>

#include "common/error.h"

/* Between systemd's container range (up to 0x6fffffff) and the end of what it lists as unused;
 * source: systemd, docs/UIDS-GIDS.md. */
#define VM_UID_MIN   0x70000000U
#define VM_UID_COUNT 4096U

/* ERROR_LIMITS_EXCEEDED when all are taken. The caller closes @ret_lock_fd. */
int vm_uid_acquire(uid_t *ret_uid, int *ret_lock_fd, Error *error);

/* Removes the lock file if no uid is taken: for the listener's end. */
void vm_uid_remove_lock_file(void);
