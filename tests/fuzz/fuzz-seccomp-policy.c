/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled seccomp policies: whatever is accepted can be asked about any call, and says whether it
 * needs a listener. The instructions are the kernel's to judge, which is not asked here. */
#include <assert.h>
#include <string.h>

#include "common/seccomp-policy.h"
#include "tests/fuzz/fuzz.h"

#define NUMBERS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;
    SeccompPolicyHeader header;
    struct seccomp_data call = { .arch = seccomp_policy_native_architecture() };
    size_t n_startup = 0;

    if (seccomp_policy_decode(data, size, &policy) < 0) {
        assert(!policy);
        return 0;
    }

    memcpy(&header, data, sizeof(header));
    assert(seccomp_policy_needs_listener(policy) == (header.flags == SECCOMP_POLICY_LISTENER));
    for (call.nr = -1; call.nr < NUMBERS; call.nr++) {
        for (uint64_t argument = 0; argument < 2; argument++) {
            for (size_t i = 0; i < SECCOMP_POLICY_ARGUMENTS; i++)
                call.args[i] = argument == 0 ? 0 : UINT64_MAX;
            n_startup += seccomp_policy_is_startup_call(policy, &call);
        }
    }
    assert(n_startup == 0 || header.n_startup_rules > 0);
    call.nr = 0;
    call.arch++;
    assert(!seccomp_policy_is_startup_call(policy, &call));
    return 0;
}
