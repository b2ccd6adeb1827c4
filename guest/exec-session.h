/* SPDX-License-Identifier: Apache-2.0 */
/* One command of the exec service: its connection, its process, and what is on its way between
 * them. Never waits and buffers a bounded amount: what is full is not read from. Messages:
 * protocol/exec-message.h. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"

/* Connection, stdin, stdout, stderr, terminal. */
#define EXEC_SESSION_POLL_ENTRIES 5

typedef struct ExecSession ExecSession;

/* A session on @connection_fd, which does not block and is taken on success. @directory, where the
 * command starts, is lent. */
int exec_session_new(int connection_fd, const char *directory, ExecSession **ret_session);

/* Kills what is left of the command. */
ExecSession *exec_session_free(ExecSession *session);
DEFINE_CLEANUP(ExecSession, exec_session_free);

/* Fills in all @entries, those that are not in use with a negative descriptor. */
void exec_session_prepare_poll(const ExecSession *session,
                               struct pollfd entries[static EXEC_SESSION_POLL_ENTRIES]);

/* Does what poll(2) says there is to do. False: the session is over. */
bool exec_session_dispatch(ExecSession *session,
                           const struct pollfd entries[static EXEC_SESSION_POLL_ENTRIES]);

/* The process @pid was reaped. True if it was the command. */
bool exec_session_take_exit(ExecSession *session, pid_t pid, int wait_status);
