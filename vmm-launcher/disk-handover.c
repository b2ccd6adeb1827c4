/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/disk-handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/program-path.h"

#define FD_OPTION_SIZE 40

static int execute(
    const char *path, int connection, int request_fd, const TemplateOptions *options, Error *error)
{
    _cleanup_free_ char *cache = NULL, *policy = NULL, *prefix = NULL;
    char connection_option[FD_OPTION_SIZE], request_option[FD_OPTION_SIZE];

    (void)snprintf(connection_option, FD_OPTION_SIZE, "--connection-fd=%d", connection);
    (void)snprintf(request_option, FD_OPTION_SIZE, "--request-fd=%d", request_fd);
    if (asprintf(&cache, "--cache-dir=%s", options->cache_dir) < 0)
        cache = NULL;
    if (asprintf(&policy, "--policy-dir=%s", options->policy_dir) < 0)
        policy = NULL;
    if (asprintf(&prefix, "--vmm-prefix=%s", options->vmm_prefix) < 0)
        prefix = NULL;
    if (!cache || !policy || !prefix)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    char name[] = "disk-worker";
    char *const arguments[] = {
        name, connection_option, request_option, cache, policy, prefix, NULL
    };
    int r = fd_set_cloexec(connection, false);
    if (r >= 0)
        r = fd_set_cloexec(request_fd, false);
    if (r >= 0) {
        (void)execv(path, arguments);
        r = -errno;
    }
    return error_set_errno(error, ERROR_FAILED, r, "cannot execute the disk worker");
}

int disk_handover(const LaunchRequest *request,
                  int connection,
                  const TemplateOptions *options,
                  Error *error)
{
    _cleanup_free_ char *path = NULL;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a socket pair");
    _cleanup_close_ int ours = pair[0];
    _cleanup_close_ int theirs = pair[1];
    /* It waits in the socket until the other program receives it. */
    int r = launch_request_forward_job(request, ours);
    if (r >= 0)
        r = program_dup_sibling_path("disk-worker", &path);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot hand the job on");
    return execute(path, connection, theirs, options, error);
}
