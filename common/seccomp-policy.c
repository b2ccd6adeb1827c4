/* SPDX-License-Identifier: Apache-2.0 */
#include "common/seccomp-policy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"

#define FILE_SIZE_MAX                                                                             \
    (sizeof(SeccompPolicyHeader) + SECCOMP_POLICY_INSTRUCTIONS_MAX * sizeof(struct sock_filter) + \
     SECCOMP_POLICY_RULES_MAX * sizeof(SeccompStartupRule))

/* The structures are the file format. */
_Static_assert(sizeof(SeccompPolicyHeader) == 24, "padding");
_Static_assert(sizeof(SeccompCondition) == 24, "padding");
_Static_assert(sizeof(SeccompStartupRule) == 8 + SECCOMP_POLICY_CONDITIONS_MAX * 24, "padding");

struct SeccompPolicy {
    uint32_t flags;
    struct sock_fprog program;
    struct sock_filter *instructions;
    size_t n_rules;
    SeccompStartupRule *rules;
};

uint32_t seccomp_policy_native_architecture(void)
{
#if defined(__x86_64__) && !defined(__ILP32__)
    return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    return AUDIT_ARCH_AARCH64;
#else
#    error "the AUDIT_ARCH_* value of this architecture is missing here"
#endif
}

SeccompPolicy *seccomp_policy_free(SeccompPolicy *policy)
{
    if (!policy)
        return NULL;
    free(policy->instructions);
    free(policy->rules);
    free(policy);
    return NULL;
}

static int check_rule(const SeccompStartupRule *rule)
{
    if (rule->number > INT_MAX || rule->n_conditions > SECCOMP_POLICY_CONDITIONS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < rule->n_conditions; i++) {
        if (rule->conditions[i].argument >= SECCOMP_POLICY_ARGUMENTS ||
            rule->conditions[i].operation >= SECCOMP_OPERATION_MAX)
            return -EBADMSG;
    }
    return 0;
}

static int check_header(const SeccompPolicyHeader *header)
{
    if (memcmp(header->magic, SECCOMP_POLICY_MAGIC, SECCOMP_POLICY_MAGIC_SIZE) != 0)
        return -EBADMSG;
    if (header->architecture != seccomp_policy_native_architecture())
        return -ENOTSUP;
    if (header->n_instructions > SECCOMP_POLICY_INSTRUCTIONS_MAX ||
        header->n_startup_rules > SECCOMP_POLICY_RULES_MAX)
        return -E2BIG;
    /* Without a listener nobody could let a call of the start-up through. */
    if ((header->flags & ~SECCOMP_POLICY_LISTENER) != 0 || header->n_instructions == 0 ||
        (header->flags == 0 && header->n_startup_rules > 0))
        return -EBADMSG;
    return 0;
}

int seccomp_policy_decode(const void *data, size_t size, SeccompPolicy **ret_policy)
{
    ByteReader reader = byte_reader(data, size);
    SeccompPolicyHeader header;

    int r = byte_reader_get_bytes(&reader, &header, sizeof(header));
    if (r < 0)
        return r;
    r = check_header(&header);
    if (r < 0)
        return r;
    size_t code_size = header.n_instructions * sizeof(struct sock_filter);
    size_t rules_size = header.n_startup_rules * sizeof(SeccompStartupRule);
    if (reader.size != code_size + rules_size)
        return -EBADMSG;

    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = calloc(1, sizeof(*policy));
    if (!policy)
        return -ENOMEM;
    policy->flags = header.flags;
    policy->n_rules = header.n_startup_rules;
    policy->instructions = malloc(code_size);
    policy->rules = malloc(rules_size + 1); /* never of no bytes */
    if (!policy->instructions || !policy->rules)
        return -ENOMEM;
    policy->program.len = (unsigned short)header.n_instructions;
    policy->program.filter = policy->instructions;

    r = byte_reader_get_bytes(&reader, policy->instructions, code_size);
    assert(r >= 0);
    r = byte_reader_get_bytes(&reader, policy->rules, rules_size);
    assert(r >= 0);
    for (size_t i = 0; i < policy->n_rules; i++) {
        r = check_rule(&policy->rules[i]);
        if (r < 0)
            return r;
    }

    *ret_policy = TAKE_PTR(policy);
    return 0;
}

static int check_file(int fd, const char *role, Error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot look at the seccomp policy '%s'", role);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERROR_START_FAILED, "the seccomp policy '%s' is no file", role);
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return error_set(error, ERROR_START_FAILED,
                         "the seccomp policy '%s' belongs to uid %u, not to root", role,
                         status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(error, ERROR_START_FAILED,
                         "others than its owner may write the seccomp policy '%s'", role);
    return 0;
}

int seccomp_policy_load(int directory_fd,
                        const char *role,
                        SeccompPolicy **ret_policy,
                        Error *error)
{
    char name[NAME_MAX + 1];
    size_t size;

    assert(!strchr(role, '/'));
    int n = snprintf(name, sizeof(name), "%s.policy", role);
    assert(n > 0 && (size_t)n < sizeof(name));
    /* Not blocking: what is in the place of the file may be a pipe. */
    _cleanup_close_ int fd =
        openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot open the seccomp policy '%s'", role);
    int r = check_file(fd, role, error);
    if (r < 0)
        return r;
    _cleanup_free_ uint8_t *buffer = malloc(FILE_SIZE_MAX + 1);
    if (!buffer)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    /* One byte more than a file may have shows that it has more. */
    r = fd_read_all(fd, buffer, FILE_SIZE_MAX + 1, &size);
    if (r >= 0 && size > FILE_SIZE_MAX)
        r = -E2BIG;
    if (r >= 0)
        r = seccomp_policy_decode(buffer, size, ret_policy);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot use the seccomp policy '%s'",
                               role);
    return 0;
}

bool seccomp_policy_needs_listener(const SeccompPolicy *policy)
{
    return (policy->flags & SECCOMP_POLICY_LISTENER) != 0;
}

int seccomp_policy_apply(const SeccompPolicy *policy, int *ret_listener)
{
    /* Once the supervisor has taken a notification, only a deadly signal ends the wait for its
     * answer: else a call that was let through could be restarted, and be told a second time. */
    unsigned flags = seccomp_policy_needs_listener(policy)
                         ? SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
                         : 0;

    assert(flags == 0 || ret_listener);
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &policy->program);
    if (r < 0)
        return -errno;
    if (flags != 0)
        *ret_listener = (int)r;
    return 0;
}

static bool holds(const SeccompCondition *condition, uint64_t argument)
{
    switch ((SeccompOperation)condition->operation) {
    case SECCOMP_EQ:
        return argument == condition->value;
    case SECCOMP_NE:
        return argument != condition->value;
    case SECCOMP_MASKED_EQ:
        return (argument & condition->mask) == condition->value;
    case SECCOMP_LT:
        return argument < condition->value;
    case SECCOMP_LE:
        return argument <= condition->value;
    case SECCOMP_GE:
        return argument >= condition->value;
    case SECCOMP_GT:
        return argument > condition->value;
    case SECCOMP_OPERATION_MAX:
        break;
    }
    return false; /* the decoder has refused it */
}

static bool rule_covers(const SeccompStartupRule *rule, const struct seccomp_data *call)
{
    if (call->nr < 0 || rule->number != (uint32_t)call->nr)
        return false;
    for (size_t i = 0; i < rule->n_conditions; i++) {
        if (!holds(&rule->conditions[i], call->args[rule->conditions[i].argument]))
            return false;
    }
    return true;
}

bool seccomp_policy_is_startup_call(const SeccompPolicy *policy, const struct seccomp_data *call)
{
    if (call->arch != seccomp_policy_native_architecture())
        return false;
    for (size_t i = 0; i < policy->n_rules; i++) {
        if (rule_covers(&policy->rules[i], call))
            return true;
    }
    return false;
}
