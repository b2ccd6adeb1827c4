/* SPDX-License-Identifier: Apache-2.0 */
/* What a client can have of a VM's console and logs: the words of the bus, and their numbers in
 * OPEN_CONSOLE and OPEN_LOG (protocol/supervisor-message.h). */
#pragma once

/* Clients that read one stream at the same time. */
#define CONSOLE_READERS_MAX 16

typedef enum ConsoleMode {
    CONSOLE_READ_ONLY = 0,
    CONSOLE_READ_WRITE = 1, /* refused while another types */
    CONSOLE_TAKE_OVER = 2,  /* ends the stream of the one who types */
    CONSOLE_MODE_MAX,
} ConsoleMode;

typedef enum LogKind {
    LOG_KIND_CONSOLE = 0,
    LOG_KIND_GUEST = 1, /* the guest manager's stream "log" */
    LOG_KIND_VMM = 2,   /* what the VMM's programs write to stderr */
    LOG_KIND_MAX,
} LogKind;

/* -EINVAL for an unknown name. */
int console_mode_from_string(const char *name, ConsoleMode *ret_mode);
int log_kind_from_string(const char *name, LogKind *ret_kind);
