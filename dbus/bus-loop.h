/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a libdbus connection on an sd-event loop: watches, timeouts, dispatching. */
#pragma once

#include <dbus/dbus.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

typedef struct BusLoop BusLoop;

/* Attaches @connection, which must outlive the result. */
int bus_loop_new(sd_event *event, DBusConnection *connection, int64_t priority, BusLoop **ret_loop);

BusLoop *bus_loop_free(BusLoop *loop);
DEFINE_CLEANUP(BusLoop, bus_loop_free);
