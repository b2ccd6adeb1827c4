/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the options of StopWithOptions. */
#pragma once

#include <dbus/dbus.h>

#include "common/error.h"
#include "protocol/stop-plan.h"

/* From @dictionary, an a{sv}; what it does not name is as in STOP_PLAN_DEFAULT. */
int stop_options_read(DBusMessageIter *dictionary, StopPlan *ret_plan, Error *error);
