/* SPDX-License-Identifier: Apache-2.0 */
/* Between clone3() and the end of a start, stub and programs tell over one SOCK_SEQPACKET pair what
 * they have reached: each program says "about to exec" (its credentials carry its pid, translated
 * by the kernel), a step that fails says so with its errno, and when exec has closed the last copy
 * of the socket the start is complete. */
#include "vmm-launcher/stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "vmm-launcher/layer.h"

/* Descriptors that a program may have open besides those it is given, threefold. */
#define STUB_FILES_BASE 256

/* What a message tells: the box's steps, and then the stub's own. */
typedef enum StartStep {
    STEP_EXECUTING = BOX_STEP_MAX, /* no failure: exec is next */
    STEP_SIGNALS,
    STEP_OPEN,
    STEP_FORK,
    STEP_DESCRIPTORS,
    STEP_LIMITS,
    STEP_SECCOMP,
    STEP_EXEC,
    STEP_MAX,
} StartStep;

static const char *step_to_string(uint32_t step)
{
    static const char *const names[STEP_MAX] = {
        [STEP_EXECUTING] = "execute",
        [STEP_SIGNALS] = "reset the signals",
        [STEP_OPEN] = "open the program",
        [STEP_FORK] = "fork",
        [STEP_DESCRIPTORS] = "place the descriptors",
        [STEP_LIMITS] = "set the limits",
        [STEP_SECCOMP] = "load the seccomp policy",
        [STEP_EXEC] = "execute the program",
    };

    return step < BOX_STEP_MAX ? box_step_to_string((BoxStep)step) : names[step];
}

static const char *const program_names[STUB_PROGRAM_MAX] = {
    [STUB_VMM] = "the VMM",
    [STUB_VSOCK_DEVICE] = "vsock-device",
};

typedef struct StartMessage {
    uint32_t program;
    uint32_t step;
    int32_t error_number;
} StartMessage;

const char *stub_program_to_string(StubProgram program)
{
    return program_names[program];
}

/* --- inside the namespace --- */

/* @listener goes along if it is one. */
static void tell(int start_fd, StubProgram program, uint32_t step, int error_number, int listener)
{
    const StartMessage message = { .program = program, .step = step, .error_number = error_number };

    /* Nobody else to tell when it fails. */
    (void)fd_message_send(start_fd, &message, sizeof(message), &listener, listener >= 0 ? 1 : 0);
}

static _Noreturn void fail(int start_fd, StubProgram program, uint32_t step, int error_number)
{
    tell(start_fd, program, step, error_number, -EBADF);
    _exit(EXIT_FAILURE);
}

/* Puts the command's descriptors to their numbers, standard ones included, @exec_fd to its own, and
 * @start_fd, close-on-exec, behind the command's; closes all others. Returns the new number of
 * @start_fd. All are copied out of the way first: a number to be taken may be another's source. */
static int place_descriptors(const VmmCommand *command,
                             const StubPlan *plan,
                             int exec_fd,
                             int start_fd)
{
    int staged[VMM_FDS_MAX];
    int last = VMM_FIRST_FD + (int)command->n_fds;

    if (dup3(exec_fd, STUB_EXEC_FD, O_CLOEXEC) < 0)
        return -errno;
    int staged_null = fcntl(plan->null_fd, F_DUPFD_CLOEXEC, last + 1);
    int staged_stderr = fcntl(plan->stderr_fd, F_DUPFD_CLOEXEC, last + 1);
    int staged_start = fcntl(start_fd, F_DUPFD_CLOEXEC, last + 1);
    if (staged_null < 0 || staged_stderr < 0 || staged_start < 0)
        return -errno;
    for (size_t i = 0; i < command->n_fds; i++) {
        staged[i] = fcntl(command->fds[i], F_DUPFD_CLOEXEC, last + 1);
        if (staged[i] < 0)
            return -errno;
    }

    if (dup2(staged_null, STDIN_FILENO) < 0 || dup2(staged_stderr, STDOUT_FILENO) < 0 ||
        dup2(staged_stderr, STDERR_FILENO) < 0 || dup3(staged_start, last, O_CLOEXEC) < 0)
        return -errno;
    for (size_t i = 0; i < command->n_fds; i++) {
        if (dup2(staged[i], VMM_FIRST_FD + (int)i) < 0)
            return -errno;
    }
    if (layer_is_on(LAYER_DESCRIPTORS) &&
        (close_range((unsigned)last + 1, STUB_EXEC_FD - 1, 0) < 0 ||
         close_range(STUB_EXEC_FD + 1, ~0U, 0) < 0))
        return -errno;
    return last;
}

/* What is this program's own of the limits. */
static int limit_program(const StubCommand *command)
{
    /* QEMU duplicates every descriptor of a disk, some twice. */
    const rlim_t n_files = STUB_FILES_BASE + 3 * command->command->n_fds;
    const BoxLimit limits[] = {
        { RLIMIT_FSIZE, command->file_size_max },
        { RLIMIT_NPROC, command->threads_max },
        { RLIMIT_NOFILE, n_files < STUB_EXEC_FD ? n_files : STUB_EXEC_FD },
    };

    return box_set_limits(limits, ELEMENTS_OF(limits));
}

static _Noreturn void run_program(const StubPlan *plan,
                                  StubProgram program,
                                  int exec_fd,
                                  int start_fd)
{
    /* Nothing of the caller's environment; what QEMU would look up late is said here. */
    char *const environment[] = { (char[]){ "LC_ALL=C" }, (char[]){ "TZ=UTC0" },
                                  (char[]){ "MALLOC_ARENA_MAX=1" }, NULL };
    const StubCommand *command = &plan->commands[program];
    int listener = -EBADF;
    sigset_t none;

    sigemptyset(&none);
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        fail(start_fd, program, STEP_SIGNALS, errno);

    int placed = place_descriptors(command->command, plan, exec_fd, start_fd);
    if (placed < 0)
        fail(start_fd, program, STEP_DESCRIPTORS, -placed);
    int r = limit_program(command);
    if (r < 0)
        fail(placed, program, STEP_LIMITS, -r);
    layer_kill_point();
    r = layer_is_on(LAYER_SECCOMP) ? seccomp_policy_apply(command->policy, &listener) : 0;
    if (r < 0)
        fail(placed, program, STEP_SECCOMP, -r);

    tell(placed, program, STEP_EXECUTING, 0, listener);
    (void)fd_close(listener);
    layer_kill_point();
    (void)syscall(SYS_execveat, STUB_EXEC_FD, "", command->command->argv, environment,
                  AT_EMPTY_PATH);
    fail(placed, program, STEP_EXEC, errno);
}

/* Reports every program that has ended. Whether the VMM is among them. */
static bool report_ended(const StubPlan *plan, const pid_t *pids)
{
    bool vmm_ended = false;
    siginfo_t info;

    for (;;) {
        memset(&info, 0, sizeof(info));
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return vmm_ended;
        for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
            const StubReport report = { .program = program,
                                        .code = info.si_code,
                                        .status = info.si_status };

            if (pids[program] != info.si_pid)
                continue; /* not an orphan that we adopted */
            (void)send(plan->report_fd, &report, sizeof(report), MSG_NOSIGNAL);
            vmm_ended = vmm_ended || program == STUB_VMM;
        }
    }
}

/* Until the VMM has ended or the VM is to be ended: then this process exits, and the kernel kills
 * whatever is left in the namespace. */
static void watch(const StubPlan *plan, const pid_t *pids, int signal_fd)
{
    struct pollfd polls[] = {
        { .fd = signal_fd, .events = POLLIN },
        { .fd = plan->report_fd, .events = POLLIN },
        { .fd = plan->kill_fd, .events = POLLIN },
    };
    struct signalfd_siginfo info;
    char byte;

    for (;;) {
        if (poll(polls, ELEMENTS_OF(polls), -1) < 0 && errno != EINTR)
            return;
        if ((polls[1].revents & (POLLHUP | POLLERR)) || (polls[2].revents & POLLIN))
            return; /* the supervisor is gone, or somebody wants the VM to be */
        if ((polls[1].revents & POLLIN) && recv(plan->report_fd, &byte, 1, MSG_DONTWAIT) > 0 &&
            kill(pids[STUB_VMM], SIGKILL) < 0)
            return;
        if (polls[0].revents & POLLIN) {
            /* What it says does not matter, only that it is time to look. */
            if (read(signal_fd, &info, sizeof(info)) < 0 && errno != EINTR)
                return;
            if (report_ended(plan, pids))
                return;
        }
    }
}

static int wait_for_map(void *userdata)
{
    int start_fd = *(const int *)userdata;
    char byte;
    ssize_t n;

    tell(start_fd, STUB_PROGRAM_MAX, BOX_MAP_IDS, 0, -EBADF);
    do
        n = recv(start_fd, &byte, 1, 0);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : -ECONNRESET;
}

static _Noreturn void stub_main(const StubPlan *plan, int start_fd)
{
    const int keep[] = { plan->report_fd, plan->kill_fd, plan->uid_lock_fd, start_fd };
    int exec_fds[STUB_PROGRAM_MAX];
    pid_t pids[STUB_PROGRAM_MAX];
    BoxStep step = BOX_SESSION;
    sigset_t signals;

    sigfillset(&signals);
    int signal_fd = -EBADF;
    if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0 ||
        (signal_fd = signalfd(-1, &signals, SFD_CLOEXEC)) < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_SIGNALS, errno);
    (void)prctl(PR_SET_NAME, "vm-stub");
    int r = box_enter(plan->box, plan->uid, wait_for_map, &start_fd, &step);
    if (r < 0)
        fail(start_fd, STUB_PROGRAM_MAX, step, -r);

    for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
        exec_fds[program] = box_open_program(plan->box, plan->commands[program].command->argv[0]);
        if (exec_fds[program] < 0)
            fail(start_fd, program, STEP_OPEN, -exec_fds[program]);
    }

    for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
        /* Like vfork(2): nothing of our memory is copied for a process that executes at once. What
         * it does meanwhile, to signals, limits, descriptors and its filter, is its own. */
        pids[program] = vfork();
        if (pids[program] < 0)
            fail(start_fd, program, STEP_FORK, errno);
        if (pids[program] == 0)
            run_program(plan, program, exec_fds[program], start_fd);
    }

    fd_close_all_but(keep, ELEMENTS_OF(keep), signal_fd);
    r = layer_is_on(LAYER_SECCOMP) ? seccomp_policy_apply(plan->policy, NULL) : 0;
    if (r < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_SECCOMP, -r);
    (void)fd_close(start_fd);
    watch(plan, pids, signal_fd);
    _exit(EXIT_SUCCESS);
}

/* --- outside --- */

/* Receives one message. 1, 0 at the end of the start, or negative. The kernel tells the sender's
 * pid in our namespace; @ret_listener is the caller's. */
static int receive_start(int start_fd, StartMessage *ret_message, pid_t *ret_pid, int *ret_listener)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { .iov_base = ret_message, .iov_len = sizeof(*ret_message) };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    struct ucred credentials = { 0 };

    ssize_t n;
    do
        n = recvmsg(start_fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(ret_listener, CMSG_DATA(header), sizeof(int));
        else if (header->cmsg_type == SCM_CREDENTIALS)
            memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
    }
    if (n != sizeof(*ret_message) || credentials.pid == 0 || ret_message->step >= STEP_MAX)
        return -EBADMSG;
    *ret_pid = credentials.pid;
    return 1;
}

static int map_ids(const StubPlan *plan, int start_fd, pid_t pid)
{
    if (layer_is_on(LAYER_NAMESPACES)) {
        int r = box_map_ids(pid, plan->uid, plan->gid);
        if (r < 0)
            return r;
    }
    layer_kill_point();
    return send(start_fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int on_start_message(const StubPlan *plan,
                            int start_fd,
                            StubProcesses *processes,
                            Error *error)
{
    StartMessage message;
    _cleanup_close_ int listener = -EBADF;
    pid_t pid = 0;

    int r = receive_start(start_fd, &message, &pid, &listener);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot follow the start");
    if (r == 0)
        return 0;
    bool is_program = message.program < STUB_PROGRAM_MAX;
    if (message.step == STEP_EXECUTING && is_program) {
        processes->pids[message.program] = pid;
        processes->listeners[message.program] = take_fd(&listener);
        return 1;
    }
    if (message.step == BOX_MAP_IDS && message.error_number == 0) {
        r = map_ids(plan, start_fd, pid);
        if (r >= 0)
            return 1;
        message.error_number = r;
    }
    return error_set_errno(error, ERROR_START_FAILED, message.error_number, "%s cannot %s%s%s",
                           is_program ? program_names[message.program] : "the stub",
                           step_to_string(message.step), is_program ? " " : "",
                           is_program ? plan->commands[message.program].command->argv[0] : "");
}

static int wait_for_start(const StubPlan *plan,
                          int start_fd,
                          StubProcesses *processes,
                          Error *error)
{
    int r;

    do
        r = on_start_message(plan, start_fd, processes, error);
    while (r > 0);
    if (r < 0)
        return r;
    /* A VMM that ends at once may take the others along before they were executed: its end is told
     * like any other. */
    if (processes->pids[STUB_VMM] == 0)
        return error_set(error, ERROR_START_FAILED, "the stub ended before the VMM started");
    return 0;
}

static int clone_stub(const StubPlan *plan, int *ret_pidfd)
{
    const uint64_t namespaces =
        layer_is_on(LAYER_NAMESPACES) ? (uint64_t)BOX_NAMESPACES : (uint64_t)CLONE_NEWNS;
    struct clone_args arguments = {
        .flags = namespaces | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
    };

    if (plan->cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (__u64)plan->cgroup_fd;
    }
    return (int)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

int stub_start(const StubPlan *plan, StubProcesses *ret_processes, Error *error)
{
    StubProcesses processes = { .listeners = { [0 ... STUB_PROGRAM_MAX - 1] = -EBADF } };
    int pair[2];
    int pidfd = -EBADF;
    const int enable = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot make a socket pair");
    _cleanup_close_ int start_fd = pair[0];
    _cleanup_close_ int stub_end = pair[1];
    if (setsockopt(start_fd, SOL_SOCKET, SO_PASSCRED, &enable, sizeof(enable)) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot ask for credentials");

    int pid = clone_stub(plan, &pidfd);
    if (pid < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot start the stub in namespaces of its own");
    if (pid == 0) {
        start_fd = fd_close(start_fd); /* or its end would not be seen in here */
        stub_main(plan, stub_end);
    }

    layer_kill_point();
    stub_end = fd_close(stub_end);
    int r = wait_for_start(plan, start_fd, &processes, error);
    if (r < 0) {
        siginfo_t info;

        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
        fd_close_many(processes.listeners, STUB_PROGRAM_MAX);
        (void)fd_close(pidfd);
        return r;
    }

    processes.pidfd = pidfd;
    *ret_processes = processes;
    return 0;
}
