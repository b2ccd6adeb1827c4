/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's serial console: what the guest writes goes to the client's console-out, and its last bytes
 * are kept; what comes from the client's console-in is typed into it. Later clients read along, and
 * one of them types. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "protocol/console.h"

typedef struct VmConsole VmConsole;

/* Takes @fd, the stream to the VMM, and the client's @in_fd and @out_fd, of output_open(); negative
 * numbers for what there is not. Negative errno. */
int vm_console_new(
    sd_event *event, int64_t priority, int fd, int in_fd, int out_fd, VmConsole **ret_console);
VmConsole *vm_console_free(VmConsole *console);
DEFINE_CLEANUP(VmConsole, vm_console_free);

/* Takes @fd, a socket, for one more client, whether it succeeds or not: it is sent what is kept,
 * then what comes. Negative errno of stream_readers_add(). */
int vm_console_open(VmConsole *console, ConsoleMode mode, int fd);

/* The VMM is dead: reads what it has left, and takes no more input. */
void vm_console_drain(VmConsole *console);

/* Copies the last bytes, at most @capacity. Returns how many. */
size_t vm_console_copy_tail(const VmConsole *console, char *destination, size_t capacity);

/* Bytes that console-out did not take in time. */
uint64_t vm_console_get_dropped(const VmConsole *console);

/* Whether something is still to be passed on to the client. */
bool vm_console_is_behind(const VmConsole *console);
