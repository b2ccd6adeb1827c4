/* SPDX-License-Identifier: Apache-2.0 */
/* Where there is no systemd: the socket behind which each connection becomes a launcher. Holds a
 * lock in its directory, outlives the daemon, and ends when no VM and no daemon has been there for
 * a grace time. */
#pragma once

#include <sys/types.h>

#include "vmm-launcher/template-root.h"

#define LISTENER_SOCKET   "socket"   /* SOCK_SEQPACKET: a connection is a launcher */
#define LISTENER_PRESENCE "presence" /* SOCK_SEQPACKET: a daemon keeps one connection */
#define LISTENER_LOCK     "lock"

typedef struct ListenerOptions {
    const char *directory;
    uid_t user;   /* who may connect, besides root */
    int ready_fd; /* closed once connections are taken; negative: none */
    TemplateOptions template;
    char *const *launcher_arguments; /* those of this program, which each launcher gets, too */
} ListenerOptions;

/* Runs until there is nothing left to do. A held lock is success: another listener is there. */
int listener_run(const ListenerOptions *options);
