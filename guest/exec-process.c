/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/exec-process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define STANDARD_PATH   "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
#define PATH_SIZE_MAX   4096
#define KILL_ROUNDS_MAX 16 /* against processes that fork meanwhile */
#define STAT_SIZE       512
#define N_STANDARD      3
#define FIRST_SIGNAL    1
#define LAST_SIGNAL     64

void exec_process_init(ExecProcess *process)
{
    *process = (ExecProcess){ .stdin_fd = -EBADF,
                              .stdout_fd = -EBADF,
                              .stderr_fd = -EBADF,
                              .terminal_fd = -EBADF,
                              .failure_fd = -EBADF };
}

void exec_process_deinit(ExecProcess *process)
{
    process->stdin_fd = fd_close(process->stdin_fd);
    process->stdout_fd = fd_close(process->stdout_fd);
    process->stderr_fd = fd_close(process->stderr_fd);
    process->terminal_fd = fd_close(process->terminal_fd);
    process->failure_fd = fd_close(process->failure_fd);
}

/* --- before there is a process --- */

static int open_terminal(ExecProcess *process, ExecWindow window, int *ret_fd)
{
    struct termios settings;

    process->terminal_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (process->terminal_fd < 0 || unlockpt(process->terminal_fd) < 0)
        return -errno;
    exec_process_set_window(process, window);
    if (tcgetattr(process->terminal_fd, &settings) < 0)
        return -errno;
    settings.c_iflag |= IUTF8; /* the erase key takes characters, not bytes */
    if (tcsetattr(process->terminal_fd, TCSANOW, &settings) < 0)
        return -errno;
    int fd = ioctl(process->terminal_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* One of the standard descriptors, @index: the child's in @ret_child, ours in @ret_ours. */
static int open_pipe(int index, int *ret_child, int *ret_ours)
{
    bool is_input = index == STDIN_FILENO;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    *ret_child = ends[is_input ? 0 : 1];
    *ret_ours = ends[is_input ? 1 : 0];
    return fd_set_nonblocking(*ret_ours, true);
}

/* The descriptors of the child's standard ones, the caller's to close. */
static int open_standard(ExecProcess *process,
                         const ExecRequest *request,
                         int ret_children[static N_STANDARD],
                         int *ret_terminal)
{
    int *const ours[N_STANDARD] = { &process->stdin_fd, &process->stdout_fd, &process->stderr_fd };
    int r = 0;

    if (request->terminals != 0)
        r = open_terminal(process, request->window, ret_terminal);
    for (int i = 0; r >= 0 && i < N_STANDARD; i++) {
        if (!(request->terminals & (1U << i))) /* the bits of ExecTerminal are in that order */
            r = open_pipe(i, &ret_children[i], ours[i]);
    }
    return r;
}

/* --- the child --- */

static int set_environment(const ExecRequest *request, const char *directory)
{
    char path[PATH_SIZE_MAX];

    if ((size_t)snprintf(path, sizeof(path), "%s/bin:" STANDARD_PATH,
                         strcmp(directory, "/") == 0 ? "" : directory) >= sizeof(path))
        return -ENAMETOOLONG;
    if (clearenv() != 0 || setenv("PATH", path, 1) < 0 || setenv("HOME", "/", 1) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < request->n_variables; i++) {
        /* putenv() keeps it, and does not change it. */
        if (putenv((char *)(uintptr_t)request->variables[i]) != 0)
            return -ENOMEM;
    }
    return 0;
}

/* Signals as a program finds them at the start of a machine. */
static void reset_signals(void)
{
    sigset_t none;

    for (int number = FIRST_SIGNAL; number <= LAST_SIGNAL; number++)
        (void)signal(number, SIG_DFL); /* not all can be set */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The same as execvp(3), which would look for a shell to run what is no program. */
static int execute(const ExecRequest *request)
{
    const char *name = request->arguments[0], *directories = getenv("PATH");
    char *const *arguments = (char *const *)(uintptr_t)request->arguments;
    char path[PATH_SIZE_MAX];
    int r = -ENOENT;

    if (strchr(name, '/')) {
        (void)execve(name, arguments, environ);
        return -errno;
    }
    while (directories && *directories) {
        int length = (int)strcspn(directories, ":");

        if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", length, directories, name) <
            sizeof(path)) {
            (void)execve(path, arguments, environ);
            if (errno != ENOENT && errno != ENOTDIR)
                r = -errno; /* there is one, and it may be another that can be executed */
        }
        directories += length + (directories[length] == ':');
    }
    return r;
}

/* Returns only when something fails. */
static int become_command(const ExecRequest *request,
                          const char *directory,
                          const int children[static N_STANDARD],
                          int terminal)
{
    /* One byte: the kernel gives no core dump to the reporter of the payload's crashes (core(5)).
     */
    const struct rlimit no_core = { .rlim_cur = 1, .rlim_max = 1 };

    reset_signals();
    if (setsid() < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 || chdir(directory) < 0)
        return -errno;
    if (terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) < 0)
        return -errno;
    for (int i = 0; i < N_STANDARD; i++) {
        if (dup2(children[i] >= 0 ? children[i] : terminal, i) < 0)
            return -errno;
    }
    int r = set_environment(request, directory);
    if (r < 0)
        return r;
    return execute(request);
}

int exec_process_start(ExecProcess *process, const ExecRequest *request, const char *directory)
{
    int children[N_STANDARD] = { -EBADF, -EBADF, -EBADF }, terminal = -EBADF, failure[2];

    if (pipe2(failure, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    process->failure_fd = failure[0];
    _cleanup_close_ int failure_writer = failure[1];
    int r = open_standard(process, request, children, &terminal);
    if (r >= 0) {
        pid_t pid = fork();
        r = pid < 0 ? -errno : 0;
        if (pid == 0) {
            r = become_command(request, directory, children, terminal);
            (void)fd_write_all(failure_writer, &r, sizeof(r)); /* fits a pipe */
            _exit(127);
        }
        process->pid = pid > 0 ? pid : 0;
    }
    fd_close_many(children, N_STANDARD);
    (void)fd_close(terminal);
    return r;
}

/* --- the parent --- */

int exec_process_read_failure(const ExecProcess *process)
{
    int failure = 0;

    return read(process->failure_fd, &failure, sizeof(failure)) == sizeof(failure) ? failure : 0;
}

void exec_process_set_window(const ExecProcess *process, ExecWindow window)
{
    const struct winsize size = { .ws_row = window.rows, .ws_col = window.columns };

    /* A command without a terminal has no window; one that has ended needs none. */
    (void)ioctl(process->terminal_fd, TIOCSWINSZ, &size);
}

/* The session of the process @name in @proc; -1 when it is gone, or a zombie. Source: proc(5). */
static pid_t get_session(int proc, const char *name)
{
    char path[sizeof("/stat") + 16], text[STAT_SIZE];
    char state;
    int session;

    if ((size_t)snprintf(path, sizeof(path), "%s/stat", name) >= sizeof(path))
        return -1;
    _cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    const char *behind_name = strrchr(text, ')'); /* a program may have any name */
    if (!behind_name || sscanf(behind_name, ") %c %*d %*d %d", &state, &session) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : session;
}

/* Kills whoever is in the session now. Returns how many. */
static size_t kill_members(pid_t session)
{
    DIR *proc = opendir("/proc");
    size_t n_killed = 0;
    struct dirent *entry;

    if (!proc)
        return 0;
    while ((entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 1 && get_session(dirfd(proc), entry->d_name) == session &&
            kill(pid, SIGKILL) == 0)
            n_killed++;
    }
    (void)closedir(proc);
    return n_killed;
}

void exec_process_kill_session(const ExecProcess *process)
{
    for (int i = 0; process->pid > 0 && i < KILL_ROUNDS_MAX; i++) {
        if (kill_members(process->pid) == 0)
            break;
    }
}
