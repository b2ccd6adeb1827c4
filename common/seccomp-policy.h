/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled seccomp policy: read from its file, put on, and asked about calls of the start-up.
 * Policies are written in policy/seccomp/ and compiled by seccomp-compile, whose output format is
 * below; nothing here knows the names of system calls. Source of the rest: seccomp(2). */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"

/* The file, in this machine's byte order: a header, then the instructions (struct sock_filter),
 * then the start-up rules. */
#define SECCOMP_POLICY_MAGIC            "SCMPBPF1"
#define SECCOMP_POLICY_MAGIC_SIZE       8
#define SECCOMP_POLICY_INSTRUCTIONS_MAX 4096 /* the kernel's BPF_MAXINSNS */
#define SECCOMP_POLICY_RULES_MAX        512
#define SECCOMP_POLICY_CONDITIONS_MAX   4
#define SECCOMP_POLICY_ARGUMENTS        6

/* Calls outside the policy, and those of the start-up, go to a supervisor that listens. */
#define SECCOMP_POLICY_LISTENER UINT32_C(1)

typedef struct SeccompPolicyHeader {
    char magic[SECCOMP_POLICY_MAGIC_SIZE];
    uint32_t architecture; /* AUDIT_ARCH_* */
    uint32_t flags;
    uint32_t n_instructions;
    uint32_t n_startup_rules;
} SeccompPolicyHeader;

/* How the argument, less the bits outside the mask, stands to the value; unsigned. The mask is all
 * ones but for SECCOMP_MASKED_EQ. */
typedef enum SeccompOperation {
    SECCOMP_EQ = 0,
    SECCOMP_NE = 1,
    SECCOMP_MASKED_EQ = 2,
    SECCOMP_LT = 3,
    SECCOMP_LE = 4,
    SECCOMP_GE = 5,
    SECCOMP_GT = 6,
    SECCOMP_OPERATION_MAX,
} SeccompOperation;

typedef struct SeccompCondition {
    uint32_t argument; /* 0 to 5 */
    uint32_t operation;
    uint64_t mask;
    uint64_t value;
} SeccompCondition;

/* A call of this number that meets all the conditions belongs to the start-up. */
typedef struct SeccompStartupRule {
    uint32_t number;
    uint32_t n_conditions;
    SeccompCondition conditions[SECCOMP_POLICY_CONDITIONS_MAX]; /* zeros behind the last */
} SeccompStartupRule;

typedef struct SeccompPolicy SeccompPolicy;

/* AUDIT_ARCH_* of this build. */
uint32_t seccomp_policy_native_architecture(void);

/* Decodes the bytes of a file. -EBADMSG for what seccomp-compile does not write, -ENOTSUP for
 * another architecture's, -E2BIG above a maximum. The instructions are the kernel's to judge. */
int seccomp_policy_decode(const void *data, size_t size, SeccompPolicy **ret_policy);

/* Reads @role.policy in the directory. Refuses a file that others than root or the effective user
 * own or may write. */
int seccomp_policy_load(int directory_fd,
                        const char *role,
                        SeccompPolicy **ret_policy,
                        Error *error);

SeccompPolicy *seccomp_policy_free(SeccompPolicy *policy);
DEFINE_CLEANUP(SeccompPolicy, seccomp_policy_free);

bool seccomp_policy_needs_listener(const SeccompPolicy *policy);

/* Puts the filter on the calling thread, which has no_new_privs set or CAP_SYS_ADMIN. Makes this
 * one system call only, so that it may stand right before exec or after a fork. @ret_listener is
 * the close-on-exec descriptor of the notifications (seccomp_unotify(2)); a policy
 * that needs no listener leaves it alone, and it may be NULL then. */
int seccomp_policy_apply(const SeccompPolicy *policy, int *ret_listener);

/* Whether the call that a notification tells of belongs to the start-up: false means that it is
 * outside the policy. */
bool seccomp_policy_is_startup_call(const SeccompPolicy *policy, const struct seccomp_data *call);
