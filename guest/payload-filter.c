/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#ifndef __x86_64__
#    error "the filter knows the calling convention of x86-64 only"
#endif

#define X32_SYSCALL_BIT UINT32_C(0x40000000)

/* In clone(2)'s flags the lowest byte is a signal, so CLONE_NEWTIME is for unshare(2) alone. */
#define NAMESPACES                                                                                \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)
#define NEW_TIME 0x80 /* CLONE_NEWTIME, which older headers lack */

static const uint32_t denied[] = {
    /* other code in the kernel */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_bpf,
    /* other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_perf_event_open,
    /* file systems and their names */
    SYS_mount,
    SYS_umount2,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_setns,
    /* large, young or forgotten parts of the kernel */
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_lookup_dcookie,
    SYS_modify_ldt,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
    /* the machine */
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_syslog,
    SYS_vhangup,
    SYS_iopl,
    SYS_ioperm,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_sethostname,
    SYS_setdomainname,
};

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
/* Goes on with the next instruction, or leaves @n out. */
#define UNLESS_EQUAL_SKIP(value, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (n))
#define IF_EQUAL_SKIP(value, n)     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (n), 0)
#define IF_BELOW_SKIP(value, n)     BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, (n))
#define IF_NO_BIT_SKIP(bits, n)     BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, (n))

#define DENY   RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ABSENT RETURN(SECCOMP_RET_ERRNO | ENOSYS)
#define ALLOW  RETURN(SECCOMP_RET_ALLOW)

/* Calls in the manner of another architecture would have other numbers: 32-bit ones end the
 * process, as in the policies of the host; x32 is what most kernels are built without. */
static const struct sock_filter head[] = {
    LOAD(arch), IF_EQUAL_SKIP(AUDIT_ARCH_X86_64, 1), RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),   IF_BELOW_SKIP(X32_SYSCALL_BIT, 1),   ABSENT,
};

/* Namespaces, which give their maker privileges inside. The flags of clone3(2) are in memory, where
 * no filter looks: libraries take its absence for an older kernel, and use clone(2). The lower half
 * of an argument stands first and has all the flags. */
static const struct sock_filter tail[] = {
    UNLESS_EQUAL_SKIP(SYS_clone3, 1),
    ABSENT,
    UNLESS_EQUAL_SKIP(SYS_clone, 4),
    LOAD(args[0]),
    IF_NO_BIT_SKIP(NAMESPACES, 1),
    DENY,
    ALLOW,
    UNLESS_EQUAL_SKIP(SYS_unshare, 3),
    LOAD(args[0]),
    IF_NO_BIT_SKIP(NAMESPACES | NEW_TIME, 1),
    DENY,
    ALLOW,
};

int payload_filter_apply(void)
{
    struct sock_filter
        instructions[ELEMENTS_OF(head) + 2 * ELEMENTS_OF(denied) + ELEMENTS_OF(tail)];
    unsigned short n = 0;

    for (size_t i = 0; i < ELEMENTS_OF(head); i++)
        instructions[n++] = head[i];
    for (size_t i = 0; i < ELEMENTS_OF(denied); i++) {
        instructions[n++] = (struct sock_filter)UNLESS_EQUAL_SKIP(denied[i], 1);
        instructions[n++] = (struct sock_filter)DENY;
    }
    for (size_t i = 0; i < ELEMENTS_OF(tail); i++)
        instructions[n++] = tail[i];

    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 && errno == EINVAL)
        return -EOPNOTSUPP;
    const struct sock_fprog program = { .len = n, .filter = instructions };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
