/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator may search the journal for: the ids of events, explained in
 * systemd/virtualizationd.catalog, and the names of their fields. */
#pragma once

#define MESSAGE_VM_STARTED "f60c737b165d46ec8b5fa2f8403f5da1"
#define MESSAGE_VM_READY   "d7a87f50c4bd401f9590a66701b49cc1"
#define MESSAGE_VM_DIED    "3b3db8b2a126492da05fac778d472e90"
#define MESSAGE_VM_FOUND   "eb1d4d034f0b4017a4f1edd764edb284"
#define MESSAGE_VM_LOST    "838e768761c540fbb72de06f46d1b99b"

#define FIELD_VM_ID        "VM_ID"
#define FIELD_VM_NAME      "VM_NAME"
#define FIELD_VM_CID       "VM_CID"
#define FIELD_VM_OWNER_UID "VM_OWNER_UID"
#define FIELD_VM_STATE     "VM_STATE"
#define FIELD_VM_EVENT     "VM_EVENT"     /* the number */
#define FIELD_VM_REASON    "VM_REASON"    /* of a death */
#define FIELD_VM_INITIATOR "VM_INITIATOR" /* the same */
