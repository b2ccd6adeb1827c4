/* SPDX-License-Identifier: Apache-2.0 */
/* What has happened to VMs, for a client that was away: GetEvents of the bus. */
#pragma once

#include <dbus/dbus.h>

#include "dbus/bus-service.h"
#include "virtualizationd/daemon.h"

/* VMs that a client can name in a call. */
#define VM_EVENTS_SINCE_MAX 4096

/* Answers @call, whose argument is an a{st} of VM ids and the last number seen of each. */
int vm_events_answer(Daemon *daemon, BusCall *call, Error *error);
