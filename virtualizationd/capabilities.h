/* SPDX-License-Identifier: Apache-2.0 */
/* What this host and this version can do: GetCapabilities and IsFeatureEnabled of the bus. */
#pragma once

#include <dbus/dbus.h>
#include <stdbool.h>

#include "virtualizationd/bus-dict.h"
#include "virtualizationd/daemon.h"

/* False for a name that is unknown, as AVF's isFeatureEnabled() does. */
bool capabilities_has_feature(const Daemon *daemon, const char *name);

/* Appends the a{sv} of GetCapabilities; false when out of memory. */
bool capabilities_append(const Daemon *daemon, DBusMessageIter *arguments);

/* Adds what a VM's sandbox is made of here, and what is missing, as "sandbox-layers" and
 * "sandbox-missing". */
bool capabilities_append_layers(const Daemon *daemon, BusDict *dict);
