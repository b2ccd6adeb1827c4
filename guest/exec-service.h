/* SPDX-License-Identifier: Apache-2.0 */
/* Runs commands for the host in a debuggable guest, as root: vmctl exec. Polled by guest-manager's
 * loop; one command is a session (guest/exec-session.h). In other guests nobody listens there. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "common/error.h"
#include "guest/exec-session.h"

/* Commands at a time; one more is refused. Each has some 300 KiB of buffers. */
#define EXEC_SERVICE_SESSIONS_MAX 16

#define EXEC_SERVICE_POLL_ENTRIES (EXEC_SERVICE_SESSIONS_MAX * EXEC_SESSION_POLL_ENTRIES + 1)

typedef struct ExecService ExecService;

/* Mounts devpts and listens at EXEC_VSOCK_PORT. Commands start in @directory, which is lent. */
int exec_service_open(const char *directory, ExecService **ret_service, Error *error);

/* Takes @listener_fd, which does not block; @may_connect says whose connections are taken. */
int exec_service_new(int listener_fd,
                     bool (*may_connect)(const struct sockaddr_storage *peer, socklen_t size),
                     const char *directory,
                     ExecService **ret_service);

ExecService *exec_service_free(ExecService *service);
DEFINE_CLEANUP(ExecService, exec_service_free);

/* True for an address of the host's: a payload, which could dial its own guest, has another. */
bool exec_service_peer_is_host(const struct sockaddr_storage *peer, socklen_t size);

/* Fills in all @entries, those that are not in use with a negative descriptor. */
void exec_service_prepare_poll(const ExecService *service,
                               struct pollfd entries[static EXEC_SERVICE_POLL_ENTRIES]);

/* Does what poll(2) says there is to do. */
void exec_service_dispatch(ExecService *service,
                           const struct pollfd entries[static EXEC_SERVICE_POLL_ENTRIES]);

/* Tells of a process that was reaped, one of the service's or not. */
void exec_service_take_exit(ExecService *service, pid_t pid, int wait_status);
