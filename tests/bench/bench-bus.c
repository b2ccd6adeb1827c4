/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench-bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

void bench_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

DBusConnection *bench_bus_connect(const char *address)
{
    DBusError error = DBUS_ERROR_INIT;
    DBusConnection *connection = dbus_connection_open_private(address, &error);

    if (!connection || !dbus_bus_register(connection, &error))
        bench_fail(address, error.message);
    return connection;
}

DBusMessage *bench_bus_call(DBusConnection *connection, DBusMessage *call)
{
    DBusError error = DBUS_ERROR_INIT;
    DBusMessage *reply =
        dbus_connection_send_with_reply_and_block(connection, call, DBUS_TIMEOUT_INFINITE, &error);

    if (!reply)
        bench_fail(dbus_message_get_member(call), error.message);
    dbus_message_unref(call);
    return reply;
}
