/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a supervisor: whatever is accepted has one encoding, the bytes that it came from. */
#include <assert.h>
#include <string.h>

#include "protocol/supervisor-message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage message;

    if (supervisor_message_decode(data, size, &message) < 0)
        return 0;

    size_t again_size = supervisor_message_encode(&message, again);
    assert(again_size == size && memcmp(again, data, size) == 0);
    return 0;
}
