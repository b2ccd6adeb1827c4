/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's way to vmm-launcher: starts its listener where none is, and connects to it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

/* Makes sure that a listener serves @directory for @user, with @cache_dir for the files that VMs
 * run from if it is to be started: connects to one, or starts one, for which
 * the caller is root or says @as_user. @ret_presence tells the listener, as long as it is open,
 * that a daemon is there. Blocks: for the time before the loop runs. */
int launcher_ensure(const char *directory,
                    const char *cache_dir,
                    uid_t user,
                    bool as_user,
                    int *ret_presence,
                    Error *error);

/* A connection to a new launcher. Does not block. */
int launcher_connect(const char *directory, int *ret_connection, Error *error);

/* Tells the listener that no daemon will follow: it need not wait. */
void launcher_say_last(int presence);
