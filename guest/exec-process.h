/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the exec service as a process of its own: root with every capability, with pipes or
 * a terminal, in a new session. */
#pragma once

#include <sys/types.h>

#include "protocol/exec-message.h"

/* All descriptors are owned and do not block; those that there are not are negative. */
typedef struct ExecProcess {
    pid_t pid; /* of the leader of its session; 0: none. The caller reaps it */
    int stdin_fd, stdout_fd, stderr_fd;
    int terminal_fd; /* the controlling end, to be written to and read from */
    int failure_fd;  /* what exec_process_read_failure() reads */
} ExecProcess;

void exec_process_init(ExecProcess *process);
void exec_process_deinit(ExecProcess *process); /* the process goes on */

/* Starts the command in @directory; the programs in its folder bin are found without a path. What
 * the request does not have in its environment: PATH, HOME. */
int exec_process_start(ExecProcess *process, const ExecRequest *request, const char *directory);

/* Once the process has ended: the errno with which its program could not be executed, or 0. */
int exec_process_read_failure(const ExecProcess *process);

void exec_process_set_window(const ExecProcess *process, ExecWindow window);

/* Kills all processes of the session, the leader too while it is not reaped. */
void exec_process_kill_session(const ExecProcess *process);
