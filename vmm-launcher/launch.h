/* SPDX-License-Identifier: Apache-2.0 */
/* One launch: from the daemon's request to the supervisor's loop. The only code of the project that
 * runs with privilege while VMs are there. */
#pragma once

#include "vmm-launcher/template-root.h"

/* Serves @connection, which it takes, to the VM's end. Returns the exit status of the process. */
int launch_serve(int connection, const TemplateOptions *options);
