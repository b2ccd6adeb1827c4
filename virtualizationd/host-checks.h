/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host the VMs depend on, and what to do where it is missing: for GetCapabilities. */
#pragma once

#include <stdbool.h>

#include "virtualizationd/bus-dict.h"
#include "virtualizationd/daemon.h"

/* Looks at the host, before the daemon gives up the system calls for that. */
void host_facts_gather(HostFacts *facts);

/* Adds "checks", an aa{sv}. False when out of memory. */
bool host_checks_append(const Daemon *daemon, BusDict *dict);
