/* SPDX-License-Identifier: Apache-2.0 */
/* What is one system call with fixed arguments, of all rows. Each does no harm when nothing stops
 * it: it sets what is set already, or its arguments are such that it fails after the check. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/kexec.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/types.h>

#include "tests/escape/stand-in.h"

#define P(pointer) ((long)(uintptr_t)(pointer))
#define CWD        ((long)AT_FDCWD)
#define NO_FD      999L

static char room[4096];
static const struct mount_attr no_attributes = { .attr_set = 0 };
/* A tick of 0 is refused after the capability has been checked. */
static struct timex adjustment = { .modes = ADJ_TICK };
static const struct perf_event_attr event = { .type = PERF_TYPE_SOFTWARE,
                                              .size = sizeof(struct perf_event_attr),
                                              .config = PERF_COUNT_SW_CPU_CLOCK };
static const struct {
    unsigned type, key_size, value_size, max_entries, flags;
} map_attributes = { 1 /* BPF_MAP_TYPE_HASH */, 4, 4, 1, 0 };
static struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
static const struct sock_fprog filter = { 1, allow };
static const struct rlimit no_core = { 0, 0 };
static const sigset_t no_signals;

/* Where there is nothing to be seen but whether the policy lets it through, any failure counts. */
#define ROW_41(name, ...)                    \
    {                                        \
        "41." #name, SYS_##name, __VA_ARGS__ \
    }

const CallAttempt call_attempts[] = {
    { "7.chroot", SYS_chroot, { P("/") }, 0 },
    { "7.pivot_root", SYS_pivot_root, { P("/"), P("/") }, EBUSY },
    { "7.mount", SYS_mount, { P("none"), P("/"), P("tmpfs"), 0, 0 }, 0 },
    { "7.remount", SYS_mount, { 0, P("/"), 0, MS_REMOUNT | MS_BIND, 0 }, 0 },
    { "7.umount", SYS_umount2, { P("."), MNT_EXPIRE | MNT_FORCE }, EINVAL },
    { "7.open_tree", SYS_open_tree, { CWD, P("/"), OPEN_TREE_CLONE }, 0 },
    { "7.fsopen", SYS_fsopen, { P("tmpfs"), 0 }, 0 },
    { "7.fspick", SYS_fspick, { CWD, P("/"), 0 }, 0 },
    { "7.fsmount", SYS_fsmount, { NO_FD, 0, 0 }, EBADF },
    { "7.move_mount",
      SYS_move_mount,
      { NO_FD, P(""), CWD, P("/"), MOVE_MOUNT_F_EMPTY_PATH },
      EBADF },
    { "7.mount_setattr",
      SYS_mount_setattr,
      { CWD, P("/"), 0, P(&no_attributes), sizeof(no_attributes) },
      0 },
    { "9.unshare", SYS_unshare, { CLONE_NEWUSER }, 0 },
    { "9.unshare-all", SYS_unshare, { CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET }, 0 },
    { "13.personality", SYS_personality, { 0x0400000 /* READ_IMPLIES_EXEC */ }, 0 },
    { "14.setuid", SYS_setuid, { 0 }, 0 },
    { "14.setreuid", SYS_setreuid, { 0, 0 }, 0 },
    { "14.setresuid", SYS_setresuid, { 0, 0, 0 }, 0 },
    { "14.setgid", SYS_setgid, { 0 }, 0 },
    { "14.setresgid", SYS_setresgid, { 0, 0, 0 }, 0 },
    { "14.ambient", SYS_prctl, { PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0 }, 0 },
    { "14.securebits", SYS_prctl, { PR_SET_SECUREBITS, 0, 0, 0, 0 }, 0 },
    { "16.kill-all", SYS_kill, { -1, 0 }, 0 },
    { "22.join", SYS_keyctl, { KEYCTL_JOIN_SESSION_KEYRING, P("escape-other") }, 0 },
    { "23.bpf", SYS_bpf, { 0, P(&map_attributes), sizeof(map_attributes) }, 0 },
    { "23.perf", SYS_perf_event_open, { P(&event), -1, 0, -1, 0 }, 0 },
    { "23.userfaultfd", SYS_userfaultfd, { O_CLOEXEC }, 0 },
    { "23.io_uring", SYS_io_uring_setup, { 1, P(room) }, 0 },
    { "23.fanotify", SYS_fanotify_init, { FAN_CLASS_CONTENT, O_RDONLY }, 0 },
    { "23.memfd_secret", SYS_memfd_secret, { 0 }, 0 },
    { "24.init_module", SYS_init_module, { P(room), sizeof(room), P("") }, ENOEXEC },
    { "24.finit_module", SYS_finit_module, { NO_FD, P(""), 0 }, EBADF },
    { "24.delete_module", SYS_delete_module, { P("no_such_module"), O_NONBLOCK }, ENOENT },
    { "24.kexec_load", SYS_kexec_load, { 0, 100, P(room), KEXEC_ARCH_DEFAULT }, EINVAL },
    { "24.kexec_file_load", SYS_kexec_file_load, { NO_FD, NO_FD, 1, P(""), 0 }, EBADF },
    { "24.reboot",
      SYS_reboot,
      { LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0 },
      0 },
    { "24.swapon", SYS_swapon, { P("/nothing"), 0 }, ENOENT },
    { "24.swapoff", SYS_swapoff, { P("/nothing") }, ENOENT },
    { "24.acct", SYS_acct, { 0 }, 0 },
    { "24.quotactl", SYS_quotactl, { QCMD(Q_QUOTAON, USRQUOTA), P("/nothing"), 0, 0 }, ENOENT },
    { "25.settimeofday", SYS_settimeofday, { 0, 0 }, 0 },
    { "25.adjtimex", SYS_adjtimex, { P(&adjustment) }, EINVAL },
    { "25.sethostname", SYS_sethostname, { P(room), 100000 }, EINVAL },
    { "25.setdomainname", SYS_setdomainname, { P(room), 100000 }, EINVAL },
    { "25.syslog", SYS_syslog, { 9 /* SYSLOG_ACTION_SIZE_UNREAD */, 0, 0 }, 0 },
    { "25.iopl", SYS_iopl, { 3 }, 0 },
    { "25.ioperm", SYS_ioperm, { 0x80, 1, 1 }, 0 },
    { "25.modify_ldt", SYS_modify_ldt, { 1, P(room), 16 }, EINVAL },
    { "25.vhangup", SYS_vhangup, { 0 }, 0 },
    { "27.listener",
      SYS_seccomp,
      { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, P(&filter) },
      0 },
    { "27.filter", SYS_seccomp, { SECCOMP_SET_MODE_FILTER, 0, P(&filter) }, 0 },
    { "27.prctl-filter", SYS_prctl, { PR_SET_SECCOMP, SECCOMP_MODE_FILTER, P(&filter) }, 0 },
    { "27.new-privileges", SYS_prctl, { PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0 }, 0 },
    { "27.dumpable", SYS_prctl, { PR_SET_DUMPABLE, 1, 0, 0, 0 }, 0 },
    { "27.set-mm", SYS_prctl, { PR_SET_MM, PR_SET_MM_BRK, 1, 0, 0 }, EINVAL },
    { "27.ptracer", SYS_prctl, { PR_SET_PTRACER, -1, 0, 0, 0 }, EINVAL },
    { "28.setpriority", SYS_setpriority, { PRIO_PROCESS, 0, -20 }, 0 },
    { "28.ioprio", SYS_ioprio_set, { 1, 0, 1 << 13 }, 0 },
    { "36.deathsig", SYS_prctl, { PR_SET_PDEATHSIG, 0, 0, 0, 0 }, 0 },
    { "36.stop", SYS_kill, { 0, 0 }, 0 },
    { "36.setsid", SYS_setsid, { 0 }, EPERM },
    { "41.dup", SYS_dup, { 4000 }, EBADF },
    ROW_41(access, { P("/") }, 0),
    ROW_41(arch_prctl, { 0x1003 /* ARCH_GET_FS */, P(room) }, 0),
    ROW_41(openat, { CWD, P("/"), O_RDONLY }, 0),
    ROW_41(prlimit64, { 0, RLIMIT_CORE, P(&no_core), 0 }, 0),
    ROW_41(set_tid_address, { P(room) }, 0),
    ROW_41(fchdir, { 0 }, ENOTDIR),
    ROW_41(fstatfs, { 0, P(room) }, 0),
    ROW_41(statfs, { P("/"), P(room) }, 0),
    ROW_41(getdents64, { 0, P(room), sizeof(room) }, ENOTDIR),
    ROW_41(readlink, { P("/bin"), P(room), sizeof(room) }, 0),
    ROW_41(sysinfo, { P(room) }, 0),
    ROW_41(sched_getaffinity, { 0, sizeof(room), P(room) }, 0),
    ROW_41(getppid, { 0 }, 0),
    ROW_41(getpeername, { 0, P(room), P(room) }, ENOTSOCK),
    ROW_41(getsockname, { 0, P(room), P(room) }, ENOTSOCK),
    ROW_41(getsockopt, { 0, 0, 0, P(room), P(room) }, ENOTSOCK),
    ROW_41(setsockopt, { 0, 0, 0, P(room), 0 }, ENOTSOCK),
    ROW_41(epoll_create1, { 0 }, 0),
    ROW_41(signalfd4, { -1, P(&no_signals), 8, 0 }, 0),
    ROW_41(rt_sigaction, { SIGUSR1, 0, P(room), 8 }, 0),
    ROW_41(memfd_create, { P(""), 0 }, 0),
    ROW_41(ftruncate, { NO_FD, 0 }, EBADF),
    ROW_41(socketpair, { AF_UNIX, SOCK_STREAM, 0, P(room) }, 0),
    ROW_41(seccomp, { SECCOMP_SET_MODE_FILTER, 0, P(&filter) }, 0),
    { "41.fcntl-add-seals", SYS_fcntl, { 0, F_ADD_SEALS, 0 }, EINVAL },
    { "41.fcntl-get-seals", SYS_fcntl, { 0, F_GET_SEALS, 0 }, EINVAL },
    { "41.madvise-dontfork", SYS_madvise, { P(room), 0, MADV_DONTFORK }, EINVAL },
    { "41.madvise-mergeable", SYS_madvise, { P(room), 0, MADV_MERGEABLE }, EINVAL },
    { "41.prctl-name", SYS_prctl, { PR_SET_NAME, P("other") }, 0 },
    { "41.mmap-exec", SYS_mmap, { 0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 }, 0 },
    { "42.create-vm", SYS_ioctl, { 0, 0xae01, 0 }, ENOTTY },
    { "42.create-device", SYS_ioctl, { 0, 0xc00caee0, P(room) }, ENOTTY },
    { "42.guest-memfd", SYS_ioctl, { 0, 0xc040aed4, P(room) }, ENOTTY },
    { "42.vfio", SYS_ioctl, { 0, 0x3b64, 0 }, ENOTTY },
    { "42.vhost", SYS_ioctl, { 0, 0xaf01, 0 }, ENOTTY },
    { "43.mount", SYS_fsopen, { P("cgroup2"), 0 }, 0 },
    { NULL, 0, { 0 }, 0 },
};
