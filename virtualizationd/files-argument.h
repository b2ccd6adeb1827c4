/* SPDX-License-Identifier: Apache-2.0 */
/* The a{sh} that brings a VM's files over the bus. */
#pragma once

#include <dbus/dbus.h>

#include "virtualizationd/vm.h"

/* Gives the VM the files in @dictionary, an iterator at an a{sh}. All or none: when one is refused,
 * or together they make no VM, those of this call are given up again. */
int files_argument_take(Vm *vm, DBusMessageIter *dictionary, Error *error);
