/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/helper-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd.h"

/* The child's part. */
static void become_helper(const HelperOptions *options)
{
    char *const environment[] = { NULL };
    sigset_t no_signals;

    (void)sigemptyset(&no_signals);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || setsid() < 0 || sigprocmask(SIG_SETMASK, &no_signals, NULL) < 0)
        return;
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
        return;
    for (size_t i = 0; i < options->n_fds; i++) {
        if (fd_set_cloexec(options->fds[i], false) < 0)
            return;
    }
    if (drop_privileges(options->uid, options->uid) < 0)
        return;
    (void)execve(options->arguments[0], options->arguments, environment);
}

int helper_spawn(const HelperOptions *options, pid_t *ret_pid)
{
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        become_helper(options);
        _exit(127);
    }
    *ret_pid = pid;
    return 0;
}
