/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of vmctl exec: the bytes as frames one after the other, a request in each that is one;
 * whatever is accepted must come back from its own encoding byte for byte. */
#include <assert.h>
#include <string.h>

#include "protocol/exec-message.h"
#include "tests/fuzz/fuzz.h"

static void check_request(const ExecFrame *frame)
{
    static uint8_t again[EXEC_REQUEST_SIZE_MAX];
    static ExecRequest request;

    if (exec_request_decode(frame->bytes, frame->size, &request) < 0)
        return;
    assert(!request.arguments[request.n_arguments] && !request.variables[request.n_variables]);
    int size = exec_request_encode(&request, again);
    assert(size >= 0 && (size_t)size == frame->size);
    assert(memcmp(again, frame->bytes, frame->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[EXEC_FRAME_SIZE_MAX];
    ExecFrame frame;
    int frame_size;

    while ((frame_size = exec_frame_decode(data, size, &frame)) > 0) {
        assert((size_t)frame_size <= size);
        int encoded_size = exec_frame_encode(&frame, again, sizeof(again));
        assert(encoded_size == frame_size && memcmp(again, data, (size_t)frame_size) == 0);
        if (frame.type == EXEC_REQUEST)
            check_request(&frame);
        data += frame_size;
        size -= (size_t)frame_size;
    }
    return 0;
}
