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
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd.h"
#include "common/log.h"

typedef enum StartStep {
    STEP_EXECUTING, /* no failure: exec is next */
    STEP_SIGNALS,
    STEP_SESSION,
    STEP_DROP,
    STEP_FORK,
    STEP_DESCRIPTORS,
    STEP_EXEC,
    STEP_MAX,
} StartStep;

static const char *const step_names[STEP_MAX] = {
    [STEP_EXECUTING] = "execute",
    [STEP_SIGNALS] = "reset the signals",
    [STEP_SESSION] = "make a session",
    [STEP_DROP] = "drop privileges",
    [STEP_FORK] = "fork",
    [STEP_DESCRIPTORS] = "place the descriptors",
    [STEP_EXEC] = "execute the program",
};

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

static void tell(int start_fd, StubProgram program, StartStep step, int error_number)
{
    const StartMessage message = { .program = program, .step = step, .error_number = error_number };

    (void)send(start_fd, &message, sizeof(message), MSG_NOSIGNAL); /* nobody else to tell */
}

static _Noreturn void fail(int start_fd, StubProgram program, StartStep step, int error_number)
{
    tell(start_fd, program, step, error_number);
    _exit(EXIT_FAILURE);
}

/* Puts the command's descriptors to their numbers, standard ones included, and @start_fd,
 * close-on-exec, behind them; closes all others. Returns the new number of @start_fd. All are
 * copied out of the way first: a number to be taken may be another's source. */
static int place_descriptors(const VmmCommand *command, int stderr_fd, int start_fd)
{
    int staged[VMM_FDS_MAX];
    int last = VMM_FIRST_FD + (int)command->n_fds;

    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return -errno;
    int staged_stderr = fcntl(stderr_fd, F_DUPFD_CLOEXEC, last + 1);
    int staged_start = fcntl(start_fd, F_DUPFD_CLOEXEC, last + 1);
    if (staged_stderr < 0 || staged_start < 0)
        return -errno;
    for (size_t i = 0; i < command->n_fds; i++) {
        staged[i] = fcntl(command->fds[i], F_DUPFD_CLOEXEC, last + 1);
        if (staged[i] < 0)
            return -errno;
    }

    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(staged_stderr, STDOUT_FILENO) < 0 ||
        dup2(staged_stderr, STDERR_FILENO) < 0 || dup3(staged_start, last, O_CLOEXEC) < 0)
        return -errno;
    for (size_t i = 0; i < command->n_fds; i++) {
        if (dup2(staged[i], VMM_FIRST_FD + (int)i) < 0)
            return -errno;
    }
    if (close_range((unsigned)last + 1, ~0U, 0) < 0)
        return -errno;
    return last;
}

static _Noreturn void run_program(const StubPlan *plan, StubProgram program, int start_fd)
{
    /* Nothing of the caller's environment; what QEMU would look up late is said here. */
    char *const environment[] = { (char[]){ "LC_ALL=C" }, (char[]){ "TZ=UTC0" },
                                  (char[]){ "MALLOC_ARENA_MAX=1" }, NULL };
    VmmCommand *command = plan->commands[program];
    sigset_t none;

    sigemptyset(&none);
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        fail(start_fd, program, STEP_SIGNALS, errno);

    int placed = place_descriptors(command, plan->stderr_fd, start_fd);
    if (placed < 0)
        fail(start_fd, program, STEP_DESCRIPTORS, -placed);

    tell(placed, program, STEP_EXECUTING, 0);
    execve(command->argv[0], command->argv, environment);
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

static _Noreturn void stub_main(const StubPlan *plan, int start_fd)
{
    const int keep[] = { plan->report_fd, plan->kill_fd, plan->uid_lock_fd };
    pid_t pids[STUB_PROGRAM_MAX];
    sigset_t signals;

    sigfillset(&signals);
    int signal_fd = -EBADF;
    if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0 ||
        (signal_fd = signalfd(-1, &signals, SFD_CLOEXEC)) < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_SIGNALS, errno);
    (void)prctl(PR_SET_NAME, "vm-stub");
    if (setsid() < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_SESSION, errno);

    int r = drop_privileges(plan->uid, (gid_t)plan->uid, plan->device_gid);
    if (r < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_DROP, -r);
    /* After the change of uid, which clears it. A parent that has died before is noticed by the
     * report socket. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail(start_fd, STUB_PROGRAM_MAX, STEP_DROP, errno);

    for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
        pids[program] = fork();
        if (pids[program] < 0)
            fail(start_fd, program, STEP_FORK, errno);
        if (pids[program] == 0)
            run_program(plan, program, start_fd);
    }

    fd_close_all_but(keep, ELEMENTS_OF(keep), signal_fd);
    watch(plan, pids, signal_fd);
    _exit(EXIT_SUCCESS);
}

/* --- outside --- */

/* Receives one message. 1, 0 at the end of the start, or negative. */
static int receive_start(int start_fd, StartMessage *ret_message, pid_t *ret_pid)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = { .iov_base = ret_message, .iov_len = sizeof(*ret_message) };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };

    ssize_t n;
    do
        n = recvmsg(start_fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return 0;

    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (n != sizeof(*ret_message) || !header || header->cmsg_type != SCM_CREDENTIALS ||
        ret_message->step >= STEP_MAX)
        return -EBADMSG;
    struct ucred credentials;
    memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
    *ret_pid = credentials.pid;
    return 1;
}

static int wait_for_start(const StubPlan *plan, int start_fd, pid_t *ret_pids, Error *error)
{
    for (;;) {
        StartMessage message;
        pid_t pid = 0;

        int r = receive_start(start_fd, &message, &pid);
        if (r < 0)
            return error_set_errno(error, ERROR_START_FAILED, r, "cannot follow the start");
        if (r == 0)
            break;
        if (message.step != STEP_EXECUTING) {
            bool is_program = message.program < STUB_PROGRAM_MAX;

            return error_set_errno(
                error, ERROR_START_FAILED, message.error_number, "%s cannot %s%s%s",
                is_program ? program_names[message.program] : "the stub", step_names[message.step],
                is_program ? " " : "", is_program ? plan->commands[message.program]->argv[0] : "");
        }
        if (message.program < STUB_PROGRAM_MAX)
            ret_pids[message.program] = pid;
    }
    /* A VMM that ends at once may take the others along before they were executed: its end is told
     * like any other. */
    if (ret_pids[STUB_VMM] == 0)
        return error_set(error, ERROR_START_FAILED, "the stub ended before the VMM started");
    return 0;
}

int stub_start(const StubPlan *plan,
               int *ret_pidfd,
               pid_t ret_pids[static STUB_PROGRAM_MAX],
               Error *error)
{
    int pair[2];
    int pidfd = -EBADF;
    const int enable = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot make a socket pair");
    _cleanup_close_ int start_fd = pair[0];
    _cleanup_close_ int stub_end = pair[1];
    if (setsockopt(start_fd, SOL_SOCKET, SO_PASSCRED, &enable, sizeof(enable)) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot ask for credentials");

    struct clone_args arguments = {
        .flags = CLONE_NEWPID | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot start the stub in a pid namespace of its own");
    if (pid == 0)
        stub_main(plan, stub_end);

    memset(ret_pids, 0, STUB_PROGRAM_MAX * sizeof(*ret_pids));
    _cleanup_close_ int owned_pidfd = pidfd;
    stub_end = fd_close(stub_end);
    int r = wait_for_start(plan, start_fd, ret_pids, error);
    if (r < 0) {
        siginfo_t info;

        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
        return r;
    }

    *ret_pidfd = take_fd(&owned_pidfd);
    return 0;
}
