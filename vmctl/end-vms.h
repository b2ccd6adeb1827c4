/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the VMs that a command line names; the job of "stop" and "kill". */
#pragma once

#include "vmctl/options.h"

/* Calls @method of each VM and goes on after one that fails, whose error is printed. Returns the
 * exit status of the first that failed. */
int end_vms(const Options *options, const char *method);
