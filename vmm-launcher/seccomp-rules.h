/* SPDX-License-Identifier: Apache-2.0 */
/* Reads seccomp policies and fragments of them as JSON into a list of rules, for seccomp-compile.
 * Format: the OCI runtime specification, config-linux.md, "Seccomp", with the comments of Docker's
 * profile and two classes of ours: policy/seccomp/README.md. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/seccomp-policy.h"

#define SECCOMP_RULES_TEXT_MAX 262144 /* bytes of one JSON file */
#define SECCOMP_RULES_KEYS_MAX 4096   /* in one JSON file */
#define SECCOMP_RULES_MAX      2048   /* of a policy with its fragments */

typedef struct SeccompRule {
    uint32_t action;       /* SCMP_ACT_ALLOW, SCMP_ACT_NOTIFY or SCMP_ACT_ERRNO() */
    SeccompStartupRule on; /* the calls that it is for */
} SeccompRule;

typedef struct SeccompRules {
    SeccompRule *rules; /* owned */
    size_t n_rules;
} SeccompRules;

typedef enum SeccompText {
    SECCOMP_TEXT_POLICY,
    /* Has nothing but "syscalls". Its entries without conditions take the place of all that the
     * policy says of a call. */
    SECCOMP_TEXT_FRAGMENT,
} SeccompText;

/* Appends the rules of a JSON text. The error's sentence begins with the JSON pointer of what is
 * refused. */
int seccomp_rules_parse(
    SeccompRules *rules, SeccompText kind, const char *text, size_t size, Error *error);

void seccomp_rules_deinit(SeccompRules *rules);
