/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/end-vms.h"
#include "vmctl/verbs.h"

int verb_kill(const Options *options)
{
    return end_vms(options, "Kill");
}
