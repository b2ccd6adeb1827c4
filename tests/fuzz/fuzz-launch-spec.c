/* SPDX-License-Identifier: Apache-2.0 */
/* Launch specs: whatever is accepted has one encoding, the bytes that it came from. */
#include <assert.h>
#include <string.h>

#include "protocol/launch-spec.h"
#include "tests/fuzz/fuzz.h"

#define N_FDS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(launch_spec_deinit) LaunchSpec spec = { 0 };
    _cleanup_free_ uint8_t *again = NULL;
    size_t again_size = 0;

    if (launch_spec_decode(data, size, N_FDS, &spec) < 0) {
        assert(!spec.params && !spec.disks);
        return 0;
    }

    int r = launch_spec_encode(&spec, &again, &again_size);
    assert(r == 0);
    assert(again_size == size && memcmp(again, data, size) == 0);
    return 0;
}
