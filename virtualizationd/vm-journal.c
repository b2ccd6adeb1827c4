/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-journal.h"

#include <stdio.h>

#include "common/journal.h"
#include "common/log-fields.h"

void vm_journal(const Vm *vm, int priority, const char *message_id, const char *what)
{
    char cid[16], owner[16], event[24];
    JournalField fields[8] = {
        { FIELD_VM_ID, vm->id },   { FIELD_VM_NAME, vm->name },
        { FIELD_VM_CID, cid },     { FIELD_VM_OWNER_UID, owner },
        { FIELD_VM_EVENT, event }, { FIELD_VM_STATE, vm_state_to_string(vm->state) },
    };
    size_t n_fields = 6;

    (void)snprintf(cid, sizeof(cid), "%u", vm->cid);
    (void)snprintf(owner, sizeof(owner), "%u", vm->owner);
    (void)snprintf(event, sizeof(event), "%ju", (uintmax_t)vm->last_event);
    if (vm->record) {
        fields[n_fields++] =
            (JournalField){ FIELD_VM_REASON, death_reason_to_string(vm->record->reason) };
        fields[n_fields++] =
            (JournalField){ FIELD_VM_INITIATOR, death_initiator_to_string(vm->record->initiator) };
    }
    journal_event(priority, message_id, fields, n_fields, "VM %s (%s): %s%s%s", vm->name, vm->id,
                  what, vm->record ? ": " : "",
                  vm->record ? death_reason_to_string(vm->record->reason) : "");
}
