/* SPDX-License-Identifier: Apache-2.0 */
/* org.virtualizationd1.Manager, whose object is the Daemon. */
#pragma once

#include "dbus/bus-service.h"

extern const BusInterface manager_interface;
