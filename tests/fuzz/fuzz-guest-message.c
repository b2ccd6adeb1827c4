/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the guest link: the same bytes as a call and as a reply; whatever is accepted must come
 * back from its own encoding unchanged. */
#include <assert.h>
#include <string.h>

#include "protocol/guest-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_call(const char *frame, size_t size)
{
    char again[GUEST_FRAME_SIZE_MAX + 1];
    GuestCall call, decoded;
    Error error = ERROR_INIT;

    int r = guest_call_decode(frame, size, &call, &error);
    assert((r < 0) == (error.kind != ERROR_NONE));
    error_clear(&error);
    if (r < 0)
        return;

    int encoded_size = guest_call_encode(&call, again, sizeof(again));
    assert(encoded_size > 0);
    r = guest_call_decode(again, (size_t)encoded_size - 1, &decoded, NULL);
    assert(r == 0);
    assert(decoded.type == call.type && decoded.exit_code == call.exit_code &&
           decoded.error_code == call.error_code && decoded.signal == call.signal);
    assert(strcmp(decoded.message, call.message) == 0);
    assert(strcmp(decoded.stream_name, call.stream_name) == 0);
}

static void check_reply(const char *frame, size_t size)
{
    char again[GUEST_FRAME_SIZE_MAX + 1];
    GuestReply reply, decoded;

    if (guest_reply_decode(frame, size, &reply, NULL) < 0)
        return;

    int encoded_size = guest_reply_encode(&reply, again, sizeof(again));
    assert(encoded_size > 0);
    int r = guest_reply_decode(again, (size_t)encoded_size - 1, &decoded, NULL);
    assert(r == 0);
    assert(decoded.continues == reply.continues && decoded.command == reply.command);
    assert(strcmp(decoded.error_name, reply.error_name) == 0);
    assert(strcmp(decoded.error_message, reply.error_message) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_call((const char *)data, size);
    check_reply((const char *)data, size);
    return 0;
}
