/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd.h"
#include "guest/payload-cgroup.h"
#include "guest/payload-filter.h"
#include "guest/payload-message.h"

#define ENVIRONMENT_MAX      4
#define ENVIRONMENT_SIZE_MAX 512 /* of one variable */

static int confine(void)
{
    const struct rlimit no_core = { .rlim_cur = 0, .rlim_max = 0 };

    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        return -errno;
    int r = drop_privileges(PAYLOAD_UID, PAYLOAD_UID);
    if (r < 0)
        return r;
    r = payload_filter_apply();
    return r == -EOPNOTSUPP ? 0 : r; /* the kernel is the VM owner's */
}

/* The variables of a payload, each in a row of its own. */
typedef struct Environment {
    char texts[ENVIRONMENT_MAX][ENVIRONMENT_SIZE_MAX];
    char *variables[ENVIRONMENT_MAX + 1];
} Environment;

static int make_environment(const PayloadOptions *options, Environment *ret_environment)
{
    const struct {
        const char *name, *value;
    } variables[ENVIRONMENT_MAX] = {
        { "PATH", "/usr/local/bin:/usr/bin:/bin" },
        { "HOME", "/" },
        { PAYLOAD_READY_SOCKET_VARIABLE, options->ready_socket },
        { "LD_LIBRARY_PATH", options->library_path },
    };
    size_t n = 0;

    for (size_t i = 0; i < ENVIRONMENT_MAX; i++) {
        if (!variables[i].value)
            continue;
        int length = snprintf(ret_environment->texts[n], ENVIRONMENT_SIZE_MAX, "%s=%s",
                              variables[i].name, variables[i].value);
        if (length >= ENVIRONMENT_SIZE_MAX)
            return -ENAMETOOLONG;
        ret_environment->variables[n] = ret_environment->texts[n];
        n++;
    }
    ret_environment->variables[n] = NULL;
    return 0;
}

/* The child's part. Returns only when something fails. */
static int become_payload(const PayloadOptions *options, int output_fd)
{
    const char *const only_path[] = { options->path, NULL };
    const char *const *arguments = options->arguments ? options->arguments : only_path;
    Environment environment;
    sigset_t no_signals;

    int r = make_environment(options, &environment);
    if (r >= 0 && options->cgroup)
        r = payload_cgroup_join(options->cgroup);
    if (r < 0)
        return r;
    (void)sigemptyset(&no_signals);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || setsid() < 0 || sigprocmask(SIG_SETMASK, &no_signals, NULL) < 0 ||
        chdir(options->directory) < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(output_fd, STDOUT_FILENO) < 0 || dup2(output_fd, STDERR_FILENO) < 0)
        return -errno;
    if (!options->privileged) {
        r = confine();
        if (r < 0)
            return r;
    }
    (void)execve(options->path, (char *const *)(uintptr_t)arguments, environment.variables);
    return -errno;
}

int payload_spawn(const PayloadOptions *options, pid_t *ret_pid, int *ret_output_fd, Error *error)
{
    int output[2], status[2], failure = 0;

    if (pipe2(output, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    _cleanup_close_ int output_reader = output[0], output_writer = output[1];
    if (pipe2(status, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    _cleanup_close_ int status_reader = status[0], status_writer = status[1];
    int r = fd_set_nonblocking(output_reader, true);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up a pipe");

    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot fork");
    if (pid == 0) {
        failure = become_payload(options, output_writer);
        (void)fd_write_all(status_writer, &failure, sizeof(failure));
        _exit(127);
    }

    /* exec closes the writing end, so the end of the file says that it succeeded. */
    status_writer = fd_close(status_writer);
    ssize_t n;
    do
        n = read(status_reader, &failure, sizeof(failure));
    while (n < 0 && errno == EINTR);
    if (n == sizeof(failure)) {
        (void)waitpid(pid, NULL, 0);
        return error_set_errno(error, ERROR_IMAGE_INVALID, failure, "cannot execute the payload");
    }

    *ret_pid = pid;
    *ret_output_fd = take_fd(&output_reader);
    return 0;
}

void payload_describe_end(int wait_status, GuestCall *ret_call)
{
    if (WIFEXITED(wait_status)) {
        *ret_call = (GuestCall){ .type = GUEST_CALL_PAYLOAD_FINISHED,
                                 .exit_code = WEXITSTATUS(wait_status) };
        return;
    }

    int number = WTERMSIG(wait_status);
    const char *description = sigdescr_np(number); /* NULL for a real-time signal */

    *ret_call = (GuestCall){ .type = GUEST_CALL_ERROR,
                             .error_code = GUEST_ERROR_UNKNOWN,
                             .signal = number };
    (void)snprintf(ret_call->message, sizeof(ret_call->message),
                   "payload was killed by signal %d (%s)", number,
                   description ? description : "real-time signal");
}
