/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between a client and its VM: the daemon makes a pair of sockets, sends one end down to
 * the supervisor, and gives the client the other when the supervisor says that it is served. What
 * waits for that answer stands in one table a VM, by id. */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

#include "common/error.h"
#include "dbus/bus-service.h"
#include "protocol/console.h"
#include "protocol/supervisor-message.h"
#include "virtualizationd/quota.h"

typedef struct Vm Vm;

/* A client's call that waits for the supervisor. */
typedef struct VmChannel {
    LIST_ENTRY(VmChannel) link;
    uint32_t id;
    SupervisorMessageType type;
    BusCall *call;
    QuotaCharge charge;
    int client_fd;
} VmChannel;

typedef struct VmChannels {
    LIST_HEAD(, VmChannel) waiting;
    uint32_t last_id;
} VmChannels;

void vm_channels_init(VmChannels *channels);

/* Answers @call with a stream to the guest's port. */
int vm_connect_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error);

/* Answer @call with a stream of the console, or of a log. */
int vm_open_console(Vm *vm, ConsoleMode mode, BusCall *call, Error *error);
int vm_open_log(Vm *vm, LogKind kind, BusCall *call, Error *error);

/* Answers @call with a socket that gets the guest's connections to the host's port. */
int vm_listen_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error);

/* Has the guest's packets captured to @fd, which stays the caller's. */
int vm_capture_vsock(Vm *vm, int fd, BusCall *call, Error *error);

/* The supervisor has answered the request @id: with 0 or an errno. */
void vm_channel_answer(Vm *vm, uint32_t id, uint32_t error_number);

/* Nobody will answer any more. */
void vm_channel_refuse_all(Vm *vm, const Error *error);
