/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"

int verb_forget(const Options *options)
{
    return vm_action_run_method(options, "Forget");
}
