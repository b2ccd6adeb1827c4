/* SPDX-License-Identifier: Apache-2.0 */
/* Whether KVM can run a guest here. */
#pragma once

#include <stdbool.h>

/* True when it can. @ret_reason is a constant sentence that says why or why not. */
bool kvm_is_usable(const char **ret_reason);

/* Whether this host is a VM itself, whose guests are slower than those of a machine. */
bool kvm_is_nested(void);
