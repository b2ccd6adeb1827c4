/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp-compile's modules, and what the policies of the tree come to when they are applied. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"
#include "vmm-launcher/seccomp-filter.h"
#include "vmm-launcher/seccomp-rules.h"
#include "vmm-launcher/syscall-name.h"

#define HEAD                                                                                 \
    "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"architectures\":[\"SCMP_ARCH_X86_64\"]," \
    "\"syscalls\":["
#define TAIL "]}"
#define ALLOW(names, args) \
    "{\"names\":[" names "],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[" args "]}"
#define NOTIFY(names) "{\"names\":[" names "],\"action\":\"SCMP_ACT_NOTIFY\"}"
#define NO_CALL       "[\"read\"],\"action\":"

static int parse(SeccompText kind, const char *text, Error *error)
{
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };

    return seccomp_rules_parse(&rules, kind, text, strlen(text), error);
}

static void what_is_refused_is_named_by_place_and_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        { "[]", "/: not an object: []" },
        { "{\"a\":1}", "/a: unknown key: 1" },
        { "{\"syscalls\":[]}", "/defaultAction: missing" },
        { "{\"syscalls\":{}}", "/syscalls: wrong type: {}" },
        { "{\"syscalls\":[],\"syscalls\":[]}", "/syscalls: the key is there twice" },
        { "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[],\"syscalls\":[]}",
          "/defaultAction: not SCMP_ACT_KILL_PROCESS: \"SCMP_ACT_ALLOW\"" },
        { "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"architectures\":[\"SCMP_ARCH_PDP11\"],"
          "\"syscalls\":[]}",
          "/architectures/0: unknown architecture: \"SCMP_ARCH_PDP11\"" },
        { "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"architectures\":[],\"syscalls\":[]}",
          "/architectures: this machine's architecture is missing: []" },
        { HEAD "1" TAIL, "/syscalls/0: not an object: 1" },
        { HEAD "{\"names\":[\"read\"]}" TAIL, "/syscalls/0/action: missing" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_TRAP\"}" TAIL,
          "/syscalls/0/action: not SCMP_ACT_ALLOW, SCMP_ACT_NOTIFY or SCMP_ACT_ERRNO: "
          "\"SCMP_ACT_TRAP\"" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_ERRNO\"}" TAIL, "/syscalls/0/errnoRet: missing" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_ERRNO\",\"errnoRet\":0}" TAIL,
          "/syscalls/0/errnoRet: no error: 0" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_ERRNO\",\"errnoRet\":4096}" TAIL,
          "/syscalls/0/errnoRet: number out of range: 4096" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_ALLOW\",\"errnoRet\":1}" TAIL,
          "/syscalls/0/errnoRet: only SCMP_ACT_ERRNO has it: 1" },
        { HEAD "{\"names\":" NO_CALL "\"SCMP_ACT_ALLOW\",\"comment\":1}" TAIL,
          "/syscalls/0/comment: wrong type: 1" },
        { HEAD ALLOW("", "") TAIL, "/syscalls/0/names: no name: []" },
        { HEAD ALLOW("\"read\",1", "") TAIL, "/syscalls/0/names/1: wrong type: 1" },
        { HEAD ALLOW("\"read\",\"raed\"", "") TAIL,
          "/syscalls/0/names/1: no system call of this architecture: \"raed\"" },
        { HEAD ALLOW("\"socketcall\"", "") TAIL,
          "/syscalls/0/names/0: no system call of this architecture: \"socketcall\"" },
        { HEAD ALLOW("\"read\",\"read\"", "") TAIL,
          "/syscalls/0/names/1: repeats an earlier entry: \"read\"" },
        { HEAD ALLOW("\"read\"", "") "," NOTIFY("\"write\",\"read\"") TAIL,
          "/syscalls/1/names/1: contradicts an earlier entry: \"read\"" },
        { HEAD ALLOW("\"read\"", "{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}") TAIL,
          "/syscalls/0/args/0/index: number out of range: 6" },
        { HEAD ALLOW("\"read\"", "{\"index\":-1,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}") TAIL,
          "/syscalls/0/args/0/index: number out of range: -1" },
        { HEAD ALLOW("\"read\"", "{\"index\":0,\"value\":\"0\",\"op\":\"SCMP_CMP_EQ\"}") TAIL,
          "/syscalls/0/args/0/value: wrong type: \"0\"" },
        { HEAD ALLOW("\"read\"",
                     "{\"index\":0,\"value\":18446744073709551616,\"op\":\"SCMP_CMP_EQ\"}") TAIL,
          "/syscalls/0/args/0/value: number out of range: 18446744073709551615" },
        { HEAD ALLOW("\"read\"", "{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_NEQ\"}") TAIL,
          "/syscalls/0/args/0/op: unknown operation: \"SCMP_CMP_NEQ\"" },
        { HEAD ALLOW("\"read\"", "{\"index\":0,\"value\":0,\"valueTwo\":1,\"op\":\"SCMP_CMP_EQ\"}")
              TAIL,
          "/syscalls/0/args/0/valueTwo: only SCMP_CMP_MASKED_EQ has two values: 1" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        assert_int_equal(parse(SECCOMP_TEXT_POLICY, cases[i].text, &error), -EINVAL);
        assert_string_equal(error_get_message(&error), cases[i].sentence);
    }
}

static void condition_that_could_never_hold_is_refused(void **state)
{
    (void)state;
    static const char masked[] = HEAD ALLOW(
        "\"read\"", "{\"index\":0,\"value\":4,\"valueTwo\":%d,\"op\":\"SCMP_CMP_MASKED_EQ\"}") TAIL;
    char text[512];

    (void)snprintf(text, sizeof(text), masked, 4);
    assert_int_equal(parse(SECCOMP_TEXT_POLICY, text, NULL), 0);
    (void)snprintf(text, sizeof(text), masked, 5);
    assert_int_equal(parse(SECCOMP_TEXT_POLICY, text, NULL), -EINVAL);
}

static void text_that_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "{", "{}}", HEAD TAIL "x", HEAD "'" TAIL, "nul" };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
        assert_int_equal(parse(SECCOMP_TEXT_POLICY, texts[i], NULL), -EINVAL);
    assert_int_equal(parse(SECCOMP_TEXT_POLICY, HEAD TAIL "\n", NULL), 0);
}

static void text_is_taken_up_to_the_maximum(void **state)
{
    (void)state;
    static const char text[] = HEAD TAIL;
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };
    _cleanup_free_ char *padded = malloc(SECCOMP_RULES_TEXT_MAX + 1);
    assert_non_null(padded);

    memset(padded, ' ', SECCOMP_RULES_TEXT_MAX + 1);
    memcpy(padded, text, strlen(text));
    assert_int_equal(
        seccomp_rules_parse(&rules, SECCOMP_TEXT_POLICY, padded, SECCOMP_RULES_TEXT_MAX, NULL), 0);
    assert_int_equal(
        seccomp_rules_parse(&rules, SECCOMP_TEXT_POLICY, padded, SECCOMP_RULES_TEXT_MAX + 1, NULL),
        -EINVAL);
}

static void conditions_are_taken_up_to_the_maximum(void **state)
{
    (void)state;
    char text[2048];

    for (int n = SECCOMP_POLICY_CONDITIONS_MAX; n <= SECCOMP_POLICY_CONDITIONS_MAX + 1; n++) {
        size_t length =
            (size_t)snprintf(text, sizeof(text),
                             HEAD "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[");
        for (int i = 0; i < n; i++)
            length += (size_t)snprintf(text + length, sizeof(text) - length,
                                       "%s{\"index\":%d,\"value\":1,\"op\":\"SCMP_CMP_GE\"}",
                                       i ? "," : "", i);
        (void)snprintf(text + length, sizeof(text) - length, "]}" TAIL);
        assert_int_equal(parse(SECCOMP_TEXT_POLICY, text, NULL),
                         n <= SECCOMP_POLICY_CONDITIONS_MAX ? 0 : -EINVAL);
    }
}

static void one_argument_is_compared_once(void **state)
{
    (void)state;
    assert_int_equal(
        parse(SECCOMP_TEXT_POLICY,
              HEAD ALLOW("\"read\"", "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_GE\"},"
                                     "{\"index\":0,\"value\":3,\"op\":\"SCMP_CMP_LE\"}") TAIL,
              NULL),
        -EINVAL);
}

static void fragment_takes_the_place_of_what_the_policy_says(void **state)
{
    (void)state;
    static const char policy[] = HEAD NOTIFY("\"openat\",\"read\"") "," ALLOW(
        "\"openat\"", "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}") TAIL;
    static const char fragment[] = "{\"syscalls\":[" ALLOW("\"openat\"", "") TAIL;
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };

    assert_int_equal(seccomp_rules_parse(&rules, SECCOMP_TEXT_POLICY, policy, strlen(policy), NULL),
                     0);
    assert_int_equal(rules.n_rules, 3);
    assert_int_equal(
        seccomp_rules_parse(&rules, SECCOMP_TEXT_FRAGMENT, fragment, strlen(fragment), NULL), 0);
    assert_int_equal(rules.n_rules, 2);
    assert_int_equal(rules.rules[1].action, SCMP_ACT_ALLOW);
    assert_int_equal(rules.rules[1].on.n_conditions, 0);
    assert_int_equal(parse(SECCOMP_TEXT_FRAGMENT, policy, NULL), -EINVAL);
}

static void startup_call_needs_a_listener(void **state)
{
    (void)state;
    static const char text[] = HEAD NOTIFY("\"openat\"") TAIL;
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ void *data = NULL;
    size_t size;

    assert_int_equal(seccomp_rules_parse(&rules, SECCOMP_TEXT_POLICY, text, strlen(text), NULL), 0);
    assert_int_equal(seccomp_filter_compile(&rules, 0, &data, &size, &error), -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "needs a listener"));
    assert_int_equal(seccomp_filter_compile(&rules, SECCOMP_POLICY_LISTENER, &data, &size, NULL),
                     0);
}

static void names_of_calls_are_known(void **state)
{
    (void)state;
    assert_string_equal(syscall_name(SYS_read), "read");
    assert_string_equal(syscall_name(SYS_execveat), "execveat");
    assert_null(syscall_name(-1));
    assert_null(syscall_name(INT32_MAX));
}

/* --- the policies of the tree --- */

typedef enum Outcome {
    RETURNS, /* whatever the kernel says */
    FAILS,   /* by the filter's errno */
    STARTUP, /* notified, and a call of the start-up */
    OUTSIDE, /* notified otherwise, or SIGSYS where nobody listens */
    KILLED,  /* SIGSYS, whoever listens */
} Outcome;

typedef struct Call {
    Outcome outcome;
    long number;
    long arguments[6];
    int error_number;
} Call;

static char *read_policy(const char *role, size_t *ret_size)
{
    const char *top = getenv("top_srcdir");
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/policy/seccomp/%s.json", top ? top : ".", role);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = malloc(SECCOMP_RULES_TEXT_MAX);
    assert_non_null(text);
    *ret_size = fread(text, 1, SECCOMP_RULES_TEXT_MAX, file);
    return text;
}

static SeccompPolicy *compile_role(const char *role, uint32_t flags)
{
    _cleanup_(seccomp_rules_deinit) SeccompRules rules = { 0 };
    _cleanup_free_ void *data = NULL;
    SeccompPolicy *policy = NULL;
    size_t text_size, size;
    _cleanup_free_ char *text = read_policy(role, &text_size);

    assert_int_equal(seccomp_rules_parse(&rules, SECCOMP_TEXT_POLICY, text, text_size, NULL), 0);
    assert_int_equal(seccomp_filter_compile(&rules, flags, &data, &size, NULL), 0);
    assert_int_equal(seccomp_policy_decode(data, size, &policy), 0);
    return policy;
}

/* What the child has to tell: on a page that it shares. */
typedef struct Report {
    volatile int applied; /* 0, or the negative errno */
    volatile int listener;
    volatile long result;
    volatile int error_number;
    volatile int returned;
} Report;

static void make_call(const Call *call, Report *report)
{
    const long *a = call->arguments;

    report->result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    report->error_number = errno;
    report->returned = 1;
}

/* The old way into the kernel, with the old numbers: getpid is 20. */
static void call_by_interrupt(const Call *call, Report *report)
{
    (void)call;
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    report->result = result;
#endif
    report->returned = 1;
}

typedef void (*Caller)(const Call *call, Report *report);

static pid_t start_child(const SeccompPolicy *policy,
                         const Call *call,
                         Caller caller,
                         Report *report)
{
    bool listens = seccomp_policy_needs_listener(policy);

    memset(report, 0, sizeof(*report));
    report->listener = -1;
    report->applied = 1;
    /* With common descriptors, so that the listener need not be sent. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid != 0)
        return pid;
    int listener = -1;
    int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
    if (r >= 0)
        r = seccomp_policy_apply(policy, listens ? &listener : NULL);
    report->listener = listener;
    report->applied = r;
    if (r >= 0)
        caller(call, report);
    for (;;)
        syscall(SYS_exit_group, 0);
}

/* Waits for the child's call to be notified, or its end. True when notified. */
static bool take_notification(int listener, pid_t pid, struct seccomp_notif *notification)
{
    struct pollfd poll_listener = { .fd = listener, .events = POLLIN };

    memset(notification, 0, sizeof(*notification));
    assert_true(poll(&poll_listener, 1, 10000) > 0);
    if (!(poll_listener.revents & POLLIN) ||
        ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification) < 0)
        return false;
    assert_int_equal(kill(pid, SIGKILL), 0);
    return true;
}

static Outcome try_call(const SeccompPolicy *policy,
                        const Call *call,
                        Caller caller,
                        int *ret_error)
{
    bool listens = seccomp_policy_needs_listener(policy), notified = false;
    struct seccomp_notif notification;
    int status;

    Report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(report != MAP_FAILED);
    pid_t pid = start_child(policy, call, caller, report);
    assert_true(pid > 0);
    while (listens && report->applied == 1)
        assert_int_equal(sched_yield(), 0);
    if (listens) {
        assert_true(report->listener >= 0);
        notified = take_notification(report->listener, pid, &notification);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)fd_close(report->listener);
    assert_int_equal(report->applied, 0);

    Outcome outcome = RETURNS;
    *ret_error = report->error_number;
    if (notified)
        outcome = seccomp_policy_is_startup_call(policy, &notification.data) ? STARTUP : OUTSIDE;
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        outcome = listens ? KILLED : OUTSIDE;
    else
        assert_true(WIFEXITED(status));
    assert_int_equal(munmap(report, sizeof(*report)), 0);
    return outcome;
}

static void check_calls(const char *role, uint32_t flags, const Call *calls, size_t n_calls)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = compile_role(role, flags);

    for (size_t i = 0; i < n_calls; i++) {
        const Call *call = &calls[i];
        int error_number = 0;

        Outcome wanted = call->outcome == FAILS ? RETURNS : call->outcome;
        Outcome outcome = try_call(policy, call, make_call, &error_number);
        if (outcome != wanted || (call->outcome == FAILS && error_number != call->error_number))
            fail_msg("%s: call %zu, %s(%#lx, %#lx, %#lx, %#lx, %#lx): outcome %u, errno %d", role,
                     i, syscall_name((int)call->number), call->arguments[0], call->arguments[1],
                     call->arguments[2], call->arguments[3], call->arguments[4], outcome,
                     error_number);
    }
}

#define CHECK_CALLS(role, flags, calls) check_calls(role, flags, calls, ELEMENTS_OF(calls))

/* clang-format off */
#define THREAD_FLAGS 0x3d0f00
#define NO_FD        -1
#define BAD_TLS      -1L /* makes clone() fail where the filter lets it through */

#define QEMU_CALLS                                                                               \
    { RETURNS, SYS_clone, { THREAD_FLAGS, 0, 0, 0, BAD_TLS }, 0 },                               \
    { OUTSIDE, SYS_clone, { THREAD_FLAGS | CLONE_NEWUSER, 0, 0, 0, BAD_TLS }, 0 },               \
    { OUTSIDE, SYS_clone, { THREAD_FLAGS & ~CLONE_THREAD, 0, 0, 0, BAD_TLS }, 0 },               \
    { OUTSIDE, SYS_clone, { SIGCHLD }, 0 },                                                      \
    { FAILS, SYS_clone3, { 0 }, ENOSYS },                                                        \
    { FAILS, SYS_io_uring_setup, { 0 }, ENOSYS },                                                \
    { FAILS, SYS_get_mempolicy, { 0 }, ENOSYS },                                                 \
    { FAILS, SYS_set_mempolicy, { 0 }, ENOSYS },                                                 \
    { RETURNS, SYS_execveat, { 4000, 0, 0, 0, 0x1000 }, 0 },                                     \
    { OUTSIDE, SYS_execveat, { 4001, 0, 0, 0, 0x1000 }, 0 },                                     \
    { OUTSIDE, SYS_execveat, { 3999, 0, 0, 0, 0x1000 }, 0 },                                     \
    { OUTSIDE, SYS_execveat, { 4000, 0, 0, 0, 0x1100 }, 0 },                                     \
    { OUTSIDE, SYS_execveat, { 4000, 0, 0, 0, 0 }, 0 },                                          \
    { OUTSIDE, SYS_execve, { 0 }, 0 },                                                           \
    { RETURNS, SYS_mmap, { 0, 0, PROT_READ | PROT_WRITE }, 0 },                                  \
    { STARTUP, SYS_mmap, { 0, 0, PROT_EXEC }, 0 },                                               \
    { RETURNS, SYS_mprotect, { 1, 0, PROT_READ | PROT_WRITE }, 0 },                              \
    { STARTUP, SYS_mprotect, { 1, 0, PROT_READ | PROT_EXEC }, 0 },                               \
    { OUTSIDE, SYS_pkey_mprotect, { 0 }, 0 },                                                    \
    { RETURNS, SYS_fcntl, { NO_FD, 4 /* F_SETFL */ }, 0 },                                       \
    { RETURNS, SYS_fcntl, { NO_FD, 1030 /* F_DUPFD_CLOEXEC */ }, 0 },                            \
    { OUTSIDE, SYS_fcntl, { NO_FD, 1031 /* F_SETPIPE_SZ */ }, 0 },                               \
    { OUTSIDE, SYS_fcntl, { NO_FD, 8 /* F_SETOWN */ }, 0 },                                      \
    { OUTSIDE, SYS_fcntl, { NO_FD, 10 /* F_SETSIG */ }, 0 },                                     \
    { OUTSIDE, SYS_fcntl, { NO_FD, 15 /* F_SETOWN_EX */ }, 0 },                                  \
    { OUTSIDE, SYS_fcntl, { NO_FD, 1024 /* F_SETLEASE */ }, 0 },                                 \
    { OUTSIDE, SYS_fcntl, { NO_FD, 1026 /* F_NOTIFY */ }, 0 },                                   \
    { STARTUP, SYS_fcntl, { NO_FD, 1033 /* F_ADD_SEALS */ }, 0 },                                \
    { RETURNS, SYS_madvise, { 1, 0, 4 /* MADV_DONTNEED */ }, 0 },                                \
    { OUTSIDE, SYS_madvise, { 1, 0, 5 }, 0 },                                                    \
    { STARTUP, SYS_madvise, { 1, 0, 14 /* MADV_HUGEPAGE */ }, 0 },                               \
    { OUTSIDE, SYS_madvise, { 1, 0, 100 /* MADV_HWPOISON */ }, 0 },                              \
    { OUTSIDE, SYS_madvise, { 1, 0, 101 /* MADV_SOFT_OFFLINE */ }, 0 },                          \
    { RETURNS, SYS_tgkill, { 2, 0, 6 }, 0 },                                                     \
    { OUTSIDE, SYS_tgkill, { 1, 0, 6 }, 0 },                                                     \
    { OUTSIDE, SYS_tgkill, { 2, 0, 9 }, 0 },                                                     \
    { OUTSIDE, SYS_kill, { 0, 0 }, 0 },                                                          \
    { RETURNS, SYS_ioctl, { NO_FD, 0x5421 /* FIONBIO */ }, 0 },                                  \
    { OUTSIDE, SYS_ioctl, { NO_FD, 0x5412 /* TIOCSTI */ }, 0 },                                  \
    { OUTSIDE, SYS_ioctl, { NO_FD, 0x5422 }, 0 },                                                \
    { OUTSIDE, SYS_ioctl, { NO_FD, 0xaf00 /* vhost */ }, 0 },                                    \
    { OUTSIDE, SYS_socketpair, { 1, 0, 0, 0 }, 0 },                                              \
    { OUTSIDE, SYS_socket, { 1 }, 0 },                                                           \
    { STARTUP, SYS_prctl, { 38 /* PR_SET_NO_NEW_PRIVS */ }, 0 },                                 \
    { OUTSIDE, SYS_prctl, { 39 }, 0 },                                                           \
    { OUTSIDE, SYS_prctl, { 4 /* PR_SET_DUMPABLE */ }, 0 },                                      \
    { STARTUP, SYS_openat, { NO_FD, 0 }, 0 },                                                    \
    { OUTSIDE, SYS_open, { 0 }, 0 },                                                             \
    { OUTSIDE, SYS_ptrace, { 0 }, 0 },                                                           \
    { KILLED, SYS_read | 0x40000000, { NO_FD }, 0 },                                             \
    { KILLED, SYS_openat | 0x40000000, { NO_FD }, 0 }
/* clang-format on */

static void qemu_under_tcg_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        QEMU_CALLS,
        { OUTSIDE, SYS_ioctl, { NO_FD, 0xae80 /* KVM_RUN */ }, 0 },
        { OUTSIDE, SYS_tgkill, { 2, 0, 10 }, 0 },
    };

    CHECK_CALLS("qemu-tcg", SECCOMP_POLICY_LISTENER, calls);
}

static void qemu_under_kvm_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        QEMU_CALLS,
        { RETURNS, SYS_ioctl, { NO_FD, 0xae80 /* KVM_RUN */ }, 0 },
        { RETURNS, SYS_ioctl, { NO_FD, 0x4020ae46 /* KVM_SET_USER_MEMORY_REGION */ }, 0 },
        { OUTSIDE, SYS_ioctl, { NO_FD, 0xad80 }, 0 },
        { RETURNS, SYS_tgkill, { 2, 0, 10 }, 0 },
        { OUTSIDE, SYS_tgkill, { 2, 0, 11 }, 0 },
    };

    CHECK_CALLS("qemu-kvm", SECCOMP_POLICY_LISTENER, calls);
}

static void vsock_device_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        { RETURNS, SYS_execveat, { 4000, 0, 0, 0, 0x1000 }, 0 },
        { OUTSIDE, SYS_execveat, { 4001, 0, 0, 0, 0x1000 }, 0 },
        { RETURNS, SYS_mmap, { 0, 0, PROT_READ | PROT_WRITE }, 0 },
        { STARTUP, SYS_mmap, { 0, 0, PROT_EXEC }, 0 },
        { STARTUP, SYS_mprotect, { 1, 0, PROT_EXEC }, 0 },
        { RETURNS, SYS_newfstatat, { NO_FD, 0, 0, 0x1000 }, 0 },
        { STARTUP, SYS_newfstatat, { NO_FD, 0, 0, 0 }, 0 },
        { FAILS, SYS_openat, { NO_FD, 0, 0x80100 }, ENOENT },
        { STARTUP, SYS_openat, { NO_FD, 0, 0x80000 }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80001 }, 0 },
        { RETURNS, SYS_fcntl, { NO_FD, 1034 /* F_GET_SEALS */ }, 0 },
        { OUTSIDE, SYS_fcntl, { NO_FD, 1033 /* F_ADD_SEALS */ }, 0 },
        { OUTSIDE, SYS_fcntl, { NO_FD, 8 /* F_SETOWN */ }, 0 },
        { RETURNS, SYS_getsockopt, { NO_FD, 1, 3 /* SO_TYPE */ }, 0 },
        { OUTSIDE, SYS_getsockopt, { NO_FD, 0, 3 }, 0 },
        { OUTSIDE, SYS_getsockopt, { NO_FD, 1, 17 /* SO_PEERCRED */ }, 0 },
        { STARTUP, SYS_prctl, { 15 /* PR_SET_NAME */ }, 0 },
        { OUTSIDE, SYS_prctl, { 16 }, 0 },
        { RETURNS, SYS_madvise, { 1, 0, 4 }, 0 },
        { OUTSIDE, SYS_madvise, { 1, 0, 14 }, 0 },
        { RETURNS, SYS_tgkill, { -1, 0, 6 }, 0 },
        { OUTSIDE, SYS_tgkill, { -1, 0, 7 }, 0 },
        { OUTSIDE, SYS_clone, { THREAD_FLAGS, 0, 0, 0, BAD_TLS }, 0 },
        { OUTSIDE, SYS_socket, { 1 }, 0 },
        { OUTSIDE, SYS_connect, { NO_FD }, 0 },
        { OUTSIDE, SYS_ioctl, { NO_FD, 0x5421 }, 0 },
        { KILLED, SYS_read | 0x40000000, { NO_FD }, 0 },
    };

    CHECK_CALLS("vsock-device", SECCOMP_POLICY_LISTENER, calls);
}

#define NOTIF_RECV      0xc0502100L
#define NOTIF_SEND      0xc0182101L
#define NOTIF_ID_VALID  0x40082102L
#define NOTIF_SET_FLAGS 0x40082104L

/* Both policies of the supervisor, but for the seal. */
/* clang-format off */
#define SUPERVISOR_CALLS                                                                         \
    { RETURNS, SYS_pread64, { NO_FD }, 0 },                                                      \
    { RETURNS, SYS_ioctl, { NO_FD, NOTIF_RECV }, 0 },                                            \
    { RETURNS, SYS_ioctl, { NO_FD, NOTIF_ID_VALID }, 0 },                                        \
    { RETURNS, SYS_ioctl, { NO_FD, NOTIF_SET_FLAGS }, 0 },                                       \
    { OUTSIDE, SYS_ioctl, { NO_FD, 0x40182103 /* SECCOMP_IOCTL_NOTIF_ADDFD */ }, 0 },            \
    { OUTSIDE, SYS_seccomp, { 1, 8, 0 }, 0 },                                                    \
    { OUTSIDE, SYS_seccomp, { 2, 0, 0 }, 0 },                                                    \
    { RETURNS, SYS_socketpair, { 1, 0, 0, 0 }, 0 },                                              \
    { OUTSIDE, SYS_socketpair, { 2, 0, 0, 0 }, 0 },                                              \
    { OUTSIDE, SYS_socket, { 1 }, 0 },                                                           \
    { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80000 }, 0 },                                           \
    { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80102 }, 0 },                                           \
    { RETURNS, SYS_mmap, { 0, 0, PROT_READ }, 0 },                                               \
    { OUTSIDE, SYS_mmap, { 0, 0, PROT_EXEC }, 0 },                                               \
    { OUTSIDE, SYS_mprotect, { 1, 0, PROT_EXEC }, 0 },                                           \
    { OUTSIDE, SYS_newfstatat, { NO_FD, 0, 0, 0 }, 0 },                                          \
    { OUTSIDE, SYS_fcntl, { NO_FD, 8 /* F_SETOWN */ }, 0 },                                      \
    { RETURNS, SYS_pidfd_send_signal, { NO_FD, 9 }, 0 },                                         \
    { OUTSIDE, SYS_kill, { 0, 0 }, 0 },                                                          \
    { OUTSIDE, SYS_clone, { SIGCHLD }, 0 },                                                      \
    { OUTSIDE, SYS_clone3, { 0 }, 0 },                                                           \
    { OUTSIDE, SYS_fork, { 0 }, 0 },                                                             \
    { OUTSIDE, SYS_execve, { 0 }, 0 },                                                           \
    { OUTSIDE, SYS_read | 0x40000000, { NO_FD }, 0 }
/* clang-format on */

static void supervisor_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        SUPERVISOR_CALLS,
        { RETURNS, SYS_ioctl, { NO_FD, NOTIF_SEND }, 0 },
        { RETURNS, SYS_seccomp, { 1, 0, 0 }, 0 },
        { FAILS, SYS_openat, { NO_FD, 0, 0x80100 }, ENOENT },
        { RETURNS, SYS_newfstatat, { NO_FD, 0, 0, 0x1000 }, 0 },
        { RETURNS, SYS_fcntl, { NO_FD, 4 /* F_SETFL */ }, 0 },
    };

    CHECK_CALLS("supervisor", 0, calls);
}

static void sealed_supervisor_cannot_answer_notifications(void **state)
{
    (void)state;
    static const Call calls[] = {
        SUPERVISOR_CALLS,
        { FAILS, SYS_ioctl, { NO_FD, NOTIF_SEND }, EPERM },
        { OUTSIDE, SYS_seccomp, { 1, 0, 0 }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80100 }, 0 },
        { OUTSIDE, SYS_newfstatat, { NO_FD, 0, 0, 0x1000 }, 0 },
        { OUTSIDE, SYS_fcntl, { NO_FD, 4 /* F_SETFL */ }, 0 },
    };

    CHECK_CALLS("supervisor-sealed", 0, calls);
}

static void stub_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        { RETURNS, SYS_waitid, { 0 }, 0 },
        { RETURNS, SYS_kill, { 0x7fffffff, 9 }, 0 },
        { OUTSIDE, SYS_kill, { 0x7fffffff, 10 }, 0 },
        { OUTSIDE, SYS_kill, { 0x7fffffff, 0 }, 0 },
        { RETURNS, SYS_tgkill, { -1, 0, 6 }, 0 },
        { OUTSIDE, SYS_tgkill, { -1, 0, 9 }, 0 },
        { OUTSIDE, SYS_mmap, { 0, 0, 0 }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80100 }, 0 },
        { OUTSIDE, SYS_clone, { SIGCHLD }, 0 },
        { OUTSIDE, SYS_read | 0x40000000, { NO_FD }, 0 },
    };

    CHECK_CALLS("stub", 0, calls);
}

static void disk_worker_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        { RETURNS, SYS_ftruncate, { NO_FD, 0 }, 0 },
        { RETURNS, SYS_pwrite64, { NO_FD, 0 }, 0 },
        { RETURNS, SYS_pread64, { NO_FD, 0 }, 0 },
        { RETURNS, SYS_fdatasync, { NO_FD }, 0 },
        { RETURNS, SYS_mmap, { 0, 0, PROT_READ }, 0 },
        { OUTSIDE, SYS_mmap, { 0, 0, PROT_READ | PROT_EXEC }, 0 },
        { OUTSIDE, SYS_mprotect, { 0, 0, PROT_EXEC }, 0 },
        { OUTSIDE, SYS_clone, { 17 /* SIGCHLD: a process */ }, 0 },
        { OUTSIDE, SYS_clone, { 0x10000000 /* CLONE_NEWUSER */ }, 0 },
        { OUTSIDE, SYS_rt_sigaction, { 31 /* SIGSYS */ }, 0 },
        { OUTSIDE, SYS_read, { NO_FD }, 0 },
        { OUTSIDE, SYS_ioctl, { NO_FD, 0x40049409 /* FICLONE */ }, 0 },
        { OUTSIDE, SYS_fcntl, { NO_FD, 1024 /* F_SETLEASE */ }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80100 }, 0 },
        { OUTSIDE, SYS_socketpair, { 1, 0, 0, 0 }, 0 },
        { OUTSIDE, SYS_pwrite64 | 0x40000000, { NO_FD }, 0 },
    };

    CHECK_CALLS("disk-worker", 0, calls);
}

static void daemon_has_its_calls_and_no_other(void **state)
{
    (void)state;
    static const Call calls[] = {
        { RETURNS, SYS_socket, { 1, 0, 0 }, 0 },
        { OUTSIDE, SYS_socket, { 2, 0, 0 }, 0 },
        { OUTSIDE, SYS_socket, { 16 /* AF_NETLINK */, 0, 0 }, 0 },
        { RETURNS, SYS_socketpair, { 1, 0, 0, 0 }, 0 },
        { OUTSIDE, SYS_socketpair, { 2, 0, 0, 0 }, 0 },
        { RETURNS, SYS_openat, { NO_FD, 0, 0x290000 /* O_PATH | O_DIRECTORY | O_CLOEXEC */ }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80001 /* O_WRONLY */ }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80002 /* O_RDWR */ }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80040 /* O_CREAT */ }, 0 },
        { OUTSIDE, SYS_openat, { NO_FD, 0, 0x80200 /* O_TRUNC */ }, 0 },
        { RETURNS, SYS_getsockname, { NO_FD }, 0 },
        { RETURNS, SYS_setsockopt, { NO_FD, 1, 7 /* SO_SNDBUF */ }, 0 },
        { OUTSIDE, SYS_setsockopt, { NO_FD, 1, 8 /* SO_RCVBUF */ }, 0 },
        { OUTSIDE, SYS_setsockopt, { NO_FD, 0, 7 }, 0 },
        { RETURNS, SYS_ioctl, { NO_FD, 0x80081272 /* BLKGETSIZE64 */ }, 0 },
        { OUTSIDE, SYS_ioctl, { NO_FD, 0xae00 /* KVM_GET_API_VERSION */ }, 0 },
        { OUTSIDE, SYS_mmap, { 0, 0, PROT_EXEC }, 0 },
        { OUTSIDE, SYS_fcntl, { NO_FD, 8 /* F_SETOWN */ }, 0 },
        { OUTSIDE, SYS_clone, { SIGCHLD }, 0 },
        { OUTSIDE, SYS_clone3, { 0 }, 0 },
        { OUTSIDE, SYS_execve, { 0 }, 0 },
        { OUTSIDE, SYS_landlock_create_ruleset, { 0, 0, 1 }, 0 },
        { OUTSIDE, SYS_setuid, { 0 }, 0 },
        { OUTSIDE, SYS_read | 0x40000000, { NO_FD }, 0 },
    };

    CHECK_CALLS("virtualizationd", 0, calls);
}

/* A kernel without CONFIG_IA32_EMULATION has no such way in: the instruction itself is a fault. */
static bool has_old_architecture(void)
{
    Report report;
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka has a handler */
        call_by_interrupt(NULL, &report);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGSEGV);
    return WIFEXITED(status);
}

static void call_of_the_old_architecture_kills(void **state)
{
    (void)state;
    if (!has_old_architecture())
        return;
    static const char *const roles[] = { "qemu-tcg", "qemu-kvm", "vsock-device" };
    const Call call = { .outcome = KILLED };
    int error_number;

    for (size_t i = 0; i < ELEMENTS_OF(roles); i++) {
        _cleanup_(seccomp_policy_freep) SeccompPolicy *policy =
            compile_role(roles[i], SECCOMP_POLICY_LISTENER);

        assert_int_equal(try_call(policy, &call, call_by_interrupt, &error_number), KILLED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_is_named_by_place_and_value),
        cmocka_unit_test(condition_that_could_never_hold_is_refused),
        cmocka_unit_test(text_that_is_no_json_is_refused),
        cmocka_unit_test(text_is_taken_up_to_the_maximum),
        cmocka_unit_test(conditions_are_taken_up_to_the_maximum),
        cmocka_unit_test(one_argument_is_compared_once),
        cmocka_unit_test(fragment_takes_the_place_of_what_the_policy_says),
        cmocka_unit_test(startup_call_needs_a_listener),
        cmocka_unit_test(names_of_calls_are_known),
        cmocka_unit_test(qemu_under_tcg_has_its_calls_and_no_other),
        cmocka_unit_test(qemu_under_kvm_has_its_calls_and_no_other),
        cmocka_unit_test(vsock_device_has_its_calls_and_no_other),
        cmocka_unit_test(supervisor_has_its_calls_and_no_other),
        cmocka_unit_test(sealed_supervisor_cannot_answer_notifications),
        cmocka_unit_test(stub_has_its_calls_and_no_other),
        cmocka_unit_test(disk_worker_has_its_calls_and_no_other),
        cmocka_unit_test(daemon_has_its_calls_and_no_other),
        cmocka_unit_test(call_of_the_old_architecture_kills),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
