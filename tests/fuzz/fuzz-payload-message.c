/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a payload and guest-manager: the same bytes as a request and as a reply;
 * whatever is accepted must come back from its own encoding byte for byte. */
#include <assert.h>
#include <string.h>

#include "guest/payload-message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[PAYLOAD_REQUEST_SIZE_MAX];
    PayloadRequest request;
    PayloadReply reply;

    if (payload_request_decode(data, size, &request) >= 0) {
        int encoded_size = payload_request_encode(&request, again);
        assert(encoded_size >= 0 && (size_t)encoded_size == size);
        assert(memcmp(again, data, size) == 0);
    }
    if (payload_reply_decode(data, size, &reply) >= 0) {
        int encoded_size = payload_reply_encode(&reply, again);
        assert(encoded_size >= 0 && (size_t)encoded_size == size);
        assert(memcmp(again, data, size) == 0);
    }
    return 0;
}
