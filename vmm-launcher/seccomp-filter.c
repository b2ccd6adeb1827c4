/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/seccomp-filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/filter.h>

#include "common/fd.h"

/* libseccomp's level at which it knows notifications. It is said, not probed: the kernel that
 * builds need not be the one that runs. */
#define API_LEVEL 6

typedef struct FilterContext {
    scmp_filter_ctx context;
} FilterContext;

static void filter_context_deinit(FilterContext *filter)
{
    if (filter->context)
        seccomp_release(filter->context);
}

static struct scmp_arg_cmp make_comparison(const SeccompCondition *condition)
{
    static const enum scmp_compare operations[SECCOMP_OPERATION_MAX] = {
        [SECCOMP_EQ] = SCMP_CMP_EQ,
        [SECCOMP_NE] = SCMP_CMP_NE,
        [SECCOMP_LT] = SCMP_CMP_LT,
        [SECCOMP_LE] = SCMP_CMP_LE,
        [SECCOMP_GE] = SCMP_CMP_GE,
        [SECCOMP_GT] = SCMP_CMP_GT,
        [SECCOMP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
    };
    bool masked = condition->operation == SECCOMP_MASKED_EQ;

    return (struct scmp_arg_cmp){
        .arg = condition->argument,
        .op = operations[condition->operation],
        .datum_a = masked ? condition->mask : condition->value,
        .datum_b = masked ? condition->value : 0,
    };
}

static int add_rule(scmp_filter_ctx context, const SeccompRule *rule, Error *error)
{
    struct scmp_arg_cmp comparisons[SECCOMP_POLICY_CONDITIONS_MAX];

    for (size_t i = 0; i < rule->on.n_conditions; i++)
        comparisons[i] = make_comparison(&rule->on.conditions[i]);
    int r = seccomp_rule_add_exact_array(context, rule->action, (int)rule->on.number,
                                         rule->on.n_conditions, comparisons);
    if (r < 0) {
        _cleanup_free_ char *name =
            seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)rule->on.number);
        return error_set_errno(error, ERROR_INVALID_CONFIG, r, "libseccomp refuses a rule for %s",
                               name ? name : "a call");
    }
    return 0;
}

static int fill_filter(scmp_filter_ctx context,
                       const SeccompRules *rules,
                       uint32_t flags,
                       Error *error)
{
    for (size_t i = 0; i < rules->n_rules; i++) {
        const SeccompRule *rule = &rules->rules[i];

        if (rule->action != SCMP_ACT_NOTIFY) {
            int r = add_rule(context, rule, error);
            if (r < 0)
                return r;
        } else if ((flags & SECCOMP_POLICY_LISTENER) == 0) {
            return error_set(error, ERROR_INVALID_CONFIG,
                             "SCMP_ACT_NOTIFY needs a listener: see --listener");
        }
        /* Else the default, which libseccomp takes for no rule, covers it. */
    }
    return 0;
}

/* The finished filter's instructions in a memory file. */
static int export_filter(const SeccompRules *rules, uint32_t flags, int *ret_fd, Error *error)
{
    bool listener = (flags & SECCOMP_POLICY_LISTENER) != 0;

    int r = seccomp_api_set(API_LEVEL);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "libseccomp is too old");
    _cleanup_(filter_context_deinit) FilterContext filter = {
        .context = seccomp_init(listener ? SCMP_ACT_NOTIFY : SCMP_ACT_KILL_PROCESS)
    };
    if (!filter.context)
        return error_set(error, ERROR_FAILED, "libseccomp makes no filter");
    r = seccomp_attr_set(filter.context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r >= 0)
        r = seccomp_attr_set(filter.context, SCMP_FLTATR_CTL_OPTIMIZE, 2 /* a binary tree */);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "libseccomp refuses an attribute");
    r = fill_filter(filter.context, rules, flags, error);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a memory file");
    r = seccomp_export_bpf(filter.context, fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_CONFIG, r, "libseccomp makes no program");
    *ret_fd = take_fd(&fd);
    return 0;
}

int seccomp_filter_compile(
    const SeccompRules *rules, uint32_t flags, void **ret_data, size_t *ret_size, Error *error)
{
    SeccompPolicyHeader header = { .architecture = seccomp_policy_native_architecture(),
                                   .flags = flags };
    _cleanup_close_ int fd = -EBADF;
    struct stat status;

    int r = export_filter(rules, flags, &fd, error);
    if (r < 0)
        return r;
    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot look at the program");

    size_t code_size = (size_t)status.st_size;
    memcpy(header.magic, SECCOMP_POLICY_MAGIC, SECCOMP_POLICY_MAGIC_SIZE);
    header.n_instructions = (uint32_t)(code_size / sizeof(struct sock_filter));
    for (size_t i = 0; i < rules->n_rules; i++)
        header.n_startup_rules += rules->rules[i].action == SCMP_ACT_NOTIFY;
    if (header.n_instructions > SECCOMP_POLICY_INSTRUCTIONS_MAX ||
        header.n_startup_rules > SECCOMP_POLICY_RULES_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "%u instructions and %u start-up rules are more than %d and %d",
                         header.n_instructions, header.n_startup_rules,
                         SECCOMP_POLICY_INSTRUCTIONS_MAX, SECCOMP_POLICY_RULES_MAX);

    size_t size = sizeof(header) + code_size + header.n_startup_rules * sizeof(SeccompStartupRule);
    _cleanup_free_ uint8_t *data = malloc(size);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    memcpy(data, &header, sizeof(header));
    uint8_t *next = data + sizeof(header);
    if (pread(fd, next, code_size, 0) != (ssize_t)code_size)
        return error_set(error, ERROR_FAILED, "cannot read the program");
    next += code_size;
    for (size_t i = 0; i < rules->n_rules; i++) {
        if (rules->rules[i].action != SCMP_ACT_NOTIFY)
            continue;
        memcpy(next, &rules->rules[i].on, sizeof(SeccompStartupRule));
        next += sizeof(SeccompStartupRule);
    }

    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}
