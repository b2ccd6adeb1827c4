/* SPDX-License-Identifier: Apache-2.0 */
/* What would be run if a VM were started: the answer of ValidateConfig. */
#pragma once

#include <dbus/dbus.h>
#include <stdbool.h>

#include "virtualizationd/vm.h"

/* Appends it as an a{sv}; false when out of memory. */
bool vm_plan_append(const Vm *vm, DBusMessageIter *arguments);
