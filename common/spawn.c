/* SPDX-License-Identifier: Apache-2.0 */
#include "common/spawn.h"

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETSID);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    return r;
}

int spawn_program(const char *path, char *const *arguments, int fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -r;
    }

    r = set_signals(&attributes);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, fd, SPAWN_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&actions, SPAWN_FD + 1);
    if (r == 0)
        r = posix_spawn(ret_pid, path, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}
