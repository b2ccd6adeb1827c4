/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of VMs, in the journal. */
#pragma once

#include "virtualizationd/vm.h"

/* Logs the event @message_id of log-fields.h with the VM's fields; those of its death once it has
 * died. @what ends the sentence that the VM's name begins. */
void vm_journal(const Vm *vm, int priority, const char *message_id, const char *what);
