/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"

int verb_forget(const Options *options)
{
    const VmAction action = { .method = "Forget", .forgets = true };

    return vm_action_run(options, &action);
}
