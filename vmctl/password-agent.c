/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/password-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "common/fd.h"

#define AGENT     "pkttyagent"
#define NOTIFY_FD 3 /* the number that the agent has it by */

struct PasswordAgent {
    pid_t pid;
};

static int spawn_agent(int notify_fd, pid_t *ret_pid)
{
    char name[] = AGENT, option[] = "--notify-fd", number[12], fallback[] = "--fallback";
    /* The agent of a session comes first; outside of one, polkit does not look for a fallback. */
    bool has_session = sd_pid_get_session(0, NULL) >= 0;
    char *const arguments[] = { name, option, number, has_session ? fallback : NULL, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t no_signals;

    (void)snprintf(number, sizeof(number), "%d", NOTIFY_FD);
    (void)sigemptyset(&no_signals);
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    /* Verbs with a loop have blocked what ends the agent. */
    r = posix_spawnattr_setsigmask(&attributes, &no_signals);
    if (r == 0)
        r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, notify_fd, NOTIFY_FD);
    if (r == 0)
        r = posix_spawnp(ret_pid, AGENT, &actions, &attributes, arguments, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

PasswordAgent *password_agent_new(void)
{
    int pipe_fds[2];
    char byte;

    if (!isatty(STDIN_FILENO))
        return NULL;
    PasswordAgent *agent = calloc(1, sizeof(*agent));
    if (!agent || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        free(agent);
        return NULL;
    }
    _cleanup_close_ int reader = pipe_fds[0];
    int r = spawn_agent(pipe_fds[1], &agent->pid);
    (void)fd_close(pipe_fds[1]);
    if (r < 0) {
        free(agent);
        return NULL;
    }
    /* It closes its end when it is registered, or has failed to be, which it says itself. */
    while (read(reader, &byte, sizeof(byte)) < 0 && errno == EINTR)
        ;
    return agent;
}

PasswordAgent *password_agent_free(PasswordAgent *agent)
{
    if (!agent)
        return NULL;
    (void)kill(agent->pid, SIGTERM); /* it may have ended */
    (void)waitpid(agent->pid, NULL, 0);
    free(agent);
    return NULL;
}
