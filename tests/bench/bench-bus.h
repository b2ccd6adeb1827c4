/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the bus benches share: a clock and a connection. They end with a sentence
 * on standard error when anything fails. */
#pragma once

#include <dbus/dbus.h>

double now_usec(void);

/* A private connection, registered with the bus at @address. */
DBusConnection *bench_bus_connect(const char *address);

/* Sends @call, which is consumed, and waits for the reply, which the caller owns. */
DBusMessage *bench_bus_call(DBusConnection *connection, DBusMessage *call);

/* Ends the program: what failed, and why. */
_Noreturn void bench_fail(const char *what, const char *why);
