/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/program-path.h"
#include "common/spawn.h"

/* The listener's name in its directory for daemons to be seen by. */
#define PRESENCE "presence"

static int connect_to(const char *directory, const char *name, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    /* Through a descriptor: the directory's path may be longer than a socket address. */
    _cleanup_close_ int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return -errno;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory_fd,
                   name);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

static int spawn_listener(const char *path, const LauncherOptions *options, int ready_fd)
{
    _cleanup_free_ char *listen_option = NULL, *user_option = NULL, *cache_option = NULL,
                        *state_option = NULL;
    pid_t pid;

    if (asprintf(&listen_option, "--listen=%s", options->directory) < 0) {
        listen_option = NULL;
        return -ENOMEM;
    }
    if (asprintf(&user_option, "--user=%u", options->user) < 0) {
        user_option = NULL;
        return -ENOMEM;
    }
    if (asprintf(&cache_option, "--cache-dir=%s", options->cache_dir) < 0) {
        cache_option = NULL;
        return -ENOMEM;
    }
    if (asprintf(&state_option, "--state-dir=%s", options->state_dir) < 0) {
        state_option = NULL;
        return -ENOMEM;
    }
    char *const arguments[] = {
        (char[]){ "vmm-launcher" }, listen_option, user_option, cache_option, state_option,
        (char[]){ "--ready-fd=3" }, NULL
    };

    return spawn_program(path, arguments, ready_fd, &pid);
}

/* Starts a listener and waits until it takes connections. */
static int start_listener(const LauncherOptions *options, Error *error)
{
    _cleanup_free_ char *path = NULL;
    int ends[2];
    char byte;

    int r = program_dup_sibling_path("vmm-launcher", &path);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot find vmm-launcher");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, errno, "cannot make a pipe");
    _cleanup_close_ int read_end = ends[0];
    _cleanup_close_ int write_end = ends[1];

    r = spawn_listener(path, options, write_end);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot start %s", path);
    write_end = fd_close(write_end);
    /* End of file without a byte: it has failed and said why, or another was quicker. */
    ssize_t n = read(read_end, &byte, 1);
    (void)n;
    return 0;
}

int launcher_ensure(const LauncherOptions *options, int *ret_presence, Error *error)
{
    int r = connect_to(options->directory, PRESENCE, ret_presence);
    if (r >= 0)
        return 0;
    if (geteuid() != 0 && !options->as_user)
        return error_set_errno(error, ERROR_UNAVAILABLE, r,
                               "no launcher serves %s, and only root can start one; a user's own "
                               "daemon is started with --user",
                               options->directory);
    r = start_listener(options, error);
    if (r < 0)
        return r;
    r = connect_to(options->directory, PRESENCE, ret_presence);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "no launcher serves %s",
                               options->directory);
    return 0;
}

int launcher_connect(const char *socket_path, int *ret_connection, Error *error)
{
    const char *name = strrchr(socket_path, '/') + 1; /* it is absolute */
    _cleanup_free_ char *directory = strndup(socket_path, (size_t)(name - socket_path));

    if (!directory)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = connect_to(directory, name, ret_connection);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot reach a launcher by %s",
                               socket_path);
    return 0;
}

void launcher_say_last(int presence)
{
    (void)send(presence, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* else it waits its grace time */
}
