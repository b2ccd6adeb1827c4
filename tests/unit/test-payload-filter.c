/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-filter.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/helpers/test.h"

/* Runs @check in a process behind the filter; it returns the number of what went wrong, or 0. */
static int run_filtered(int (*check)(void))
{
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || payload_filter_apply() < 0)
            _exit(254);
        _exit(check());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* These fail as root, too, which the test may be, and with arguments that no kernel would take if
 * it came to look at them. */
static int make_denied_calls(void)
{
    static const long numbers[] = {
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_kexec_load,
        SYS_kexec_file_load,
        SYS_bpf,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_pidfd_getfd,
        SYS_perf_event_open,
        SYS_mount,
        SYS_umount2,
        SYS_mount_setattr,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_pivot_root,
        SYS_chroot,
        SYS_open_by_handle_at,
        SYS_quotactl,
        SYS_setns,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_userfaultfd,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_iopl,
        SYS_ioperm,
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        errno = 0;
        if (syscall(numbers[i], -1, -1, -1, -1, -1, -1) != -1 || errno != EPERM)
            return (int)i + 1;
    }
    return 0;
}

static void dangerous_calls_are_denied(void **state)
{
    (void)state;
    assert_int_equal(run_filtered(make_denied_calls), 0);
}

static int make_namespaces(void)
{
    static const int flags[] = { CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,    CLONE_NEWUSER,
                                 CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP, 0x80 /* time */ };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (unshare(flags[i]) == 0 || errno != EPERM)
            return 1;
        if (flags[i] != 0x80 &&
            (syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0) >= 0 || errno != EPERM))
            return 2;
    }
    return unshare(CLONE_FS | CLONE_FILES) == 0 ? 0 : 3;
}

static void namespaces_are_denied(void **state)
{
    (void)state;
    assert_int_equal(run_filtered(make_namespaces), 0);
}

static int make_absent_calls(void)
{
    if (syscall(SYS_clone3, NULL, 0) == 0 || errno != ENOSYS)
        return 1;
    return syscall(0x40000000 | SYS_getpid) == -1 && errno == ENOSYS ? 0 : 2;
}

static void clone3_and_x32_are_absent(void **state)
{
    (void)state;
    assert_int_equal(run_filtered(make_absent_calls), 0);
}

static void *set_flag(void *flag)
{
    *(bool *)flag = true;
    return NULL;
}

static int do_ordinary_things(void)
{
    bool ran = false;
    pthread_t thread;
    int status;

    if (pthread_create(&thread, NULL, set_flag, &ran) != 0 || pthread_join(thread, NULL) != 0 ||
        !ran)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", "test \"$(echo a | cat)\" = a", NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 2;
    return system("exit 0") == 0 ? 0 : 3; /* uses posix_spawn() */
}

static void ordinary_programs_run(void **state)
{
    (void)state;
    assert_int_equal(run_filtered(do_ordinary_things), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dangerous_calls_are_denied),
        cmocka_unit_test(namespaces_are_denied),
        cmocka_unit_test(clone3_and_x32_are_absent),
        cmocka_unit_test(ordinary_programs_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
