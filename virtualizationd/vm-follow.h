/* SPDX-License-Identifier: Apache-2.0 */
/* Follows what a VM's supervisor tells, tells the bus, and acknowledges what the bus has. */
#pragma once

#include "virtualizationd/vm.h"

/* Watches @connection, which it takes on success, to the VM's launcher or supervisor. Negative
 * errno. */
int vm_follow(Vm *vm, int connection);

/* Sends a request to the supervisor, with @fd if it is not negative. */
int vm_send(Vm *vm, const SupervisorMessage *message, int fd, Error *error);

/* The VM has died, as @record says. */
void vm_conclude(Vm *vm, const DeathRecord *record, uint64_t event_number);

/* The same for a VM that was dead before this daemon was there, and that has its history. @told:
 * clients know. */
void vm_conclude_from_history(Vm *vm, bool told);

/* The VM, which was told to start, cannot: whoever waits is told why. It is dead then, or, if it is
 * CreateVm that waits, gone. */
void vm_refuse_start(Vm *vm, ErrorKind kind, const char *sentence);

/* The supervisor is gone, or not to be talked to. */
void vm_lose_supervisor(Vm *vm, const char *sentence);

/* Ends a VM whose supervisor has not answered this daemon, or speaks otherwise, past the
 * supervisor. The caller concludes. */
void vm_end_unanswered(Vm *vm);

/* Signals for what has happened and was not told yet, if the bus has us. */
void vm_announce(Vm *vm);

/* Lets every supervisor know of what clients have been told. */
void vm_acknowledge_all(Daemon *daemon);

/* Answers whoever waits for the launcher or the guest. */
void vm_answer_waiting(Vm *vm, ErrorKind kind, const char *sentence);
