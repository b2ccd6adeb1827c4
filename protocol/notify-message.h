/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd in a guest tells its VMM: the messages of sd_notify(3), one for each connection to
 * the host's port that the credential vmm.notify_socket names (systemd(1); since systemd 253,
 * EXIT_STATUS= since 254). Read without I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_VSOCK_PORT  UINT32_C(0x6e746679) /* "ntfy" */
#define NOTIFY_MESSAGE_MAX 4096                 /* bytes; what systemd itself reads of one */
#define NOTIFY_STATUS_MAX  255

typedef struct NotifyMessage {
    bool is_ready;
    bool has_exit_status;
    int32_t exit_status;                /* 0 to 255 */
    char status[NOTIFY_STATUS_MAX + 1]; /* "" if there is none; escaped, cut at a character */
} NotifyMessage;

/* Reads the lines NAME=VALUE of @text. Names that are not known are passed over, as systemd has
 * more of them. -EBADMSG for what is no such message. */
int notify_message_decode(const char *text, size_t size, NotifyMessage *ret_message);
