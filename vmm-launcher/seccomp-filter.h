/* SPDX-License-Identifier: Apache-2.0 */
/* Makes of seccomp rules the bytes of a compiled policy (common/seccomp-policy.h), by libseccomp.
 */
#pragma once

#include <stddef.h>

#include "vmm-launcher/seccomp-rules.h"

/* Compiles for this machine's architecture; others, and x32, end the process. With
 * SECCOMP_POLICY_LISTENER in @flags whatever no rule covers is notified, else it ends the process,
 * and a start-up rule is refused. The caller frees *@ret_data. */
int seccomp_filter_compile(
    const SeccompRules *rules, uint32_t flags, void **ret_data, size_t *ret_size, Error *error);
