/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 6, 9, 11, 14 to 16, 28, 36 and 44: other processes, and being somebody else. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

/* --- new processes --- */

/* What a raw fork-like call returned, in both processes. */
static int forked(long pid)
{
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int clone_with(unsigned long flags)
{
    return forked(syscall(SYS_clone, flags, 0, 0, 0, 0));
}

static int clone3_with(unsigned long long flags)
{
    struct clone_args arguments = { .flags = flags, .exit_signal = SIGCHLD };

    return forked(syscall(SYS_clone3, &arguments, sizeof(arguments)));
}

static int fork_plainly(const Plan *plan)
{
    (void)plan;
    return forked(syscall(SYS_fork));
}

static int fork_sharing(const Plan *plan)
{
    (void)plan;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int clone_process(const Plan *plan)
{
    (void)plan;
    return clone_with(SIGCHLD);
}

static int clone_process_sharing_files(const Plan *plan)
{
    (void)plan;
    return clone_with(CLONE_FS | CLONE_FILES | SIGCHLD);
}

static int clone_sibling(const Plan *plan)
{
    (void)plan;
    return clone_with(CLONE_PARENT | SIGCHLD);
}

static int clone3_process(const Plan *plan)
{
    (void)plan;
    return clone3_with(0);
}

static int clone_user_namespace(const Plan *plan)
{
    (void)plan;
    return clone_with(CLONE_NEWUSER | SIGCHLD);
}

static int clone3_user_namespace(const Plan *plan)
{
    (void)plan;
    return clone3_with(CLONE_NEWUSER);
}

/* --- another identity --- */

static int capability_header(struct __user_cap_header_struct *header)
{
    *header = (struct __user_cap_header_struct){ .version = _LINUX_CAPABILITY_VERSION_3 };
    return 0;
}

static int raise_capabilities(const Plan *plan)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    (void)plan;
    (void)capability_header(&header);
    data[0].effective = data[0].permitted = 1U << CAP_SYS_ADMIN;
    return result(syscall(SYS_capset, &header, data));
}

static int become_root_by_groups(const Plan *plan)
{
    const gid_t root = 0;

    (void)plan;
    return result(syscall(SYS_setgroups, 1, &root));
}

/* --- a process of the host, by the number that it has there --- */

static pid_t victim(const Plan *plan)
{
    return (pid_t)plan_get_number(plan, "others-pid");
}

/* vsock-device, which is started after the VMM. */
static pid_t sibling(const Plan *plan)
{
    (void)plan;
    return 3;
}

static pid_t parent(const Plan *plan)
{
    return plan->parent;
}

/* Attaches without stopping it. */
static int seize(pid_t pid)
{
    return result(syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0));
}

static int read_memory(pid_t pid)
{
    char byte;
    struct iovec local = { &byte, 1 }, remote = { (void *)16, 1 };
    int r = result(syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0));

    return r == -EFAULT ? 0 : r; /* nothing is mapped there */
}

static int write_memory(pid_t pid)
{
    char byte = 0;
    struct iovec local = { &byte, 1 }, remote = { (void *)16, 1 };
    int r = result(syscall(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0));

    return r == -EFAULT ? 0 : r;
}

static int hold(pid_t pid)
{
    return result(syscall(SYS_pidfd_open, pid, 0));
}

static int steal_descriptor(pid_t pid)
{
    long pidfd = syscall(SYS_pidfd_open, pid, 0);

    return pidfd < 0 ? -errno : result(syscall(SYS_pidfd_getfd, pidfd, 0, 0));
}

static int compare(pid_t pid)
{
    return result(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0));
}

static int signal_process(pid_t pid)
{
    return result(syscall(SYS_kill, pid, 0));
}

static int signal_thread(pid_t pid)
{
    return result(syscall(SYS_tgkill, pid, pid, 0));
}

static int queue_signal(pid_t pid)
{
    siginfo_t info = { .si_code = SI_QUEUE };

    return result(syscall(SYS_rt_sigqueueinfo, pid, 0, &info));
}

static int own_descriptor(pid_t pid)
{
    return result(syscall(SYS_fcntl, STDERR_FILENO, F_SETOWN, pid));
}

static int limit_process(pid_t pid)
{
    struct rlimit limit;

    return result(syscall(SYS_prlimit64, pid, RLIMIT_CORE, NULL, &limit));
}

#define OF_PROCESS(name, act, whose)  \
    static int name(const Plan *plan) \
    {                                 \
        return act(whose(plan));      \
    }

OF_PROCESS(seize_victim, seize, victim)
OF_PROCESS(read_victim, read_memory, victim)
OF_PROCESS(write_victim, write_memory, victim)
OF_PROCESS(hold_victim, hold, victim)
OF_PROCESS(steal_from_victim, steal_descriptor, victim)
OF_PROCESS(compare_victim, compare, victim)
OF_PROCESS(signal_victim, signal_process, victim)
OF_PROCESS(signal_victims_thread, signal_thread, victim)
OF_PROCESS(queue_to_victim, queue_signal, victim)
OF_PROCESS(own_victim, own_descriptor, victim)
OF_PROCESS(limit_victim, limit_process, victim)
OF_PROCESS(seize_sibling, seize, sibling)
OF_PROCESS(read_sibling, read_memory, sibling)
OF_PROCESS(seize_stub, seize, parent)
OF_PROCESS(read_stub, read_memory, parent)

/* The kernel protects process 1 of a namespace from those in it: the VM lives on, and the test
 * sees that we have ended by ourselves. */
static int kill_stub(const Plan *plan)
{
    const struct timespec moment = { .tv_nsec = 50000000 };

    if (plan->parent != 1)
        return -ESRCH;
    if (syscall(SYS_kill, 1, SIGKILL) < 0 || syscall(SYS_kill, 1, SIGTERM) < 0)
        return -errno;
    (void)nanosleep(&moment, NULL);
    return -EALREADY;
}

const Attempt process_attempts[] = {
    { "6.memory-read", read_victim },
    { "6.signal", signal_victim },
    { "9.clone", clone_user_namespace },
    { "9.clone3", clone3_user_namespace },
    { "11.fork", fork_plainly },
    { "11.vfork", fork_sharing },
    { "11.clone", clone_process },
    { "11.clone-files", clone_process_sharing_files },
    { "11.clone-parent", clone_sibling },
    { "11.clone3", clone3_process },
    { "14.capset", raise_capabilities },
    { "14.setgroups", become_root_by_groups },
    { "15.ptrace", seize_victim },
    { "15.readv", read_victim },
    { "15.writev", write_victim },
    { "15.pidfd", hold_victim },
    { "15.getfd", steal_from_victim },
    { "15.kcmp", compare_victim },
    { "15.sibling-ptrace", seize_sibling },
    { "15.sibling-readv", read_sibling },
    { "16.kill", signal_victim },
    { "16.tgkill", signal_victims_thread },
    { "16.sigqueue", queue_to_victim },
    { "16.setown", own_victim },
    { "28.prlimit-other", limit_victim },
    { "44.kill", kill_stub },
    { "44.ptrace", seize_stub },
    { "44.readv", read_stub },
    { NULL, NULL },
};
