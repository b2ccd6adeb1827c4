/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's way to vmm-launcher: connects to whoever starts launchers, and where that is no
 * service manager, starts the listener that does. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

typedef struct LauncherOptions {
    const char *directory; /* of the listener's sockets */
    const char *cache_dir; /* for the files that VMs run from */
    const char *state_dir; /* for the host secret, which is none of the daemon's business */
    uid_t user;            /* who may connect */
    bool as_user;          /* a listener that is started has the caller's rights, root or not */
} LauncherOptions;

/* Makes sure that a listener serves the directory: connects to one, or starts one, for which the
 * caller is root or says as_user. @ret_presence tells the listener, as long as it is open, that a
 * daemon is there. Blocks: for the time before the loop runs. */
int launcher_ensure(const LauncherOptions *options, int *ret_presence, Error *error);

/* The listener's name in its directory for who wants a launcher. */
#define LAUNCHER_SOCKET "socket"

/* A connection to a new launcher, by the absolute path of the socket of whoever starts them: the
 * listener or a service manager. Does not block. */
int launcher_connect(const char *socket_path, int *ret_connection, Error *error);

/* Tells the listener that no daemon will follow: it need not wait. */
void launcher_say_last(int presence);
