/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a guest's systemd: what is accepted is within its bounds, and its status is text that
 * may be shown. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "protocol/notify-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    NotifyMessage message;

    if (notify_message_decode((const char *)data, size, &message) < 0)
        return 0;
    assert(size > 0 && size <= NOTIFY_MESSAGE_MAX);
    assert(message.exit_status >= 0 && message.exit_status <= 255);
    assert(message.has_exit_status || message.exit_status == 0);
    assert(text_is_utf8(message.status, strlen(message.status)));
    assert(!strchr(message.status, '\n'));
    return 0;
}
