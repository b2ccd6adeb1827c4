/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/run-streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/fd.h"

#define FILE_MODE 0666 /* less the umask */

/* For appending: console and log may be one file. */
static int open_output(RunStreams *streams, const char *path, int *ret_fd)
{
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;

    int fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);
    if (fd >= 0)
        streams->made[streams->n_made++] = path;
    else if (errno == EEXIST)
        fd = open(path, flags | O_TRUNC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int add_output(
    RunStreams *streams, const char *key, const char *path, NamedFds *files, Error *error)
{
    int fd;

    if (!path)
        return 0;
    int r = open_output(streams, path, &fd);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot open '%s' for writing", path);
    return named_fds_add(files, key, fd, error);
}

static int add_input(const char *key, const char *path, NamedFds *files, Error *error)
{
    if (!path)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s'", path);
    return named_fds_add(files, key, fd, error);
}

int run_streams_open(RunStreams *streams, const Options *options, NamedFds *files, Error *error)
{
    const char *console = options_wants_console(options) ? NULL : options->console;

    int r = add_output(streams, "console-out", console, files, error);
    if (r >= 0)
        r = add_output(streams, "log", options->log, files, error);
    return r < 0 ? r : add_input("console-in", options->console_in, files, error);
}

void run_streams_keep(RunStreams *streams)
{
    streams->n_made = 0;
}

void run_streams_deinit(RunStreams *streams)
{
    for (size_t i = 0; i < streams->n_made; i++)
        (void)unlink(streams->made[i]); /* the error before is told already */
    streams->n_made = 0;
}
