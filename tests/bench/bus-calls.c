/* SPDX-License-Identifier: Apache-2.0 */
/* Times bus calls, one at a time or many in flight. Usage:
 *   bus-calls ADDRESS COUNT DEPTH DESTINATION PATH INTERFACE METHOD [s:TEXT | b:0 | b:1 | u:N]...
 * Prints "median p99 rate": microseconds twice, calls a second. */
#include <dbus/dbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench-bus.h"

#define DEPTH_MAX 1024

static DBusMessage *make_call(char **target, char **arguments)
{
    DBusMessage *call = dbus_message_new_method_call(target[0], target[1], target[2], target[3]);

    for (; *arguments; arguments++) {
        const char *text = *arguments + 2;
        dbus_bool_t boolean = strcmp(text, "1") == 0;
        dbus_uint32_t number = (dbus_uint32_t)strtoul(text, NULL, 10);
        DBusMessageIter iterator;

        dbus_message_iter_init_append(call, &iterator);
        if ((*arguments)[0] == 's')
            dbus_message_iter_append_basic(&iterator, DBUS_TYPE_STRING, &text);
        else if ((*arguments)[0] == 'u')
            dbus_message_iter_append_basic(&iterator, DBUS_TYPE_UINT32, &number);
        else
            dbus_message_iter_append_basic(&iterator, DBUS_TYPE_BOOLEAN, &boolean);
    }
    return call;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Keeps @depth calls in flight until @count are answered. */
static int measure(
    DBusConnection *connection, size_t count, size_t depth, char **target, char **arguments)
{
    DBusPendingCall *pending[DEPTH_MAX];
    double sent[DEPTH_MAX];
    double *latencies = calloc(count, sizeof(double));
    DBusMessage *call = make_call(target, arguments);
    size_t started = 0, done = 0;

    if (!latencies || depth == 0 || depth > DEPTH_MAX)
        return 1;
    double begin = now_usec();
    for (; done < count; done++) {
        for (; started < count && started < done + depth; started++) {
            DBusMessage *copy = dbus_message_copy(call);

            sent[started % depth] = now_usec();
            dbus_connection_send_with_reply(connection, copy, &pending[started % depth], -1);
            dbus_message_unref(copy);
        }
        DBusPendingCall *oldest = pending[done % depth];
        dbus_pending_call_block(oldest);
        DBusMessage *reply = dbus_pending_call_steal_reply(oldest);
        if (dbus_message_get_type(reply) != DBUS_MESSAGE_TYPE_METHOD_RETURN) {
            fprintf(stderr, "bus-calls: %s\n", dbus_message_get_error_name(reply));
            return 1;
        }
        latencies[done] = now_usec() - sent[done % depth];
        dbus_message_unref(reply);
        dbus_pending_call_unref(oldest);
    }
    double seconds = (now_usec() - begin) / 1e6;
    qsort(latencies, count, sizeof(double), compare);
    printf("%.1f %.1f %.0f\n", latencies[count / 2], latencies[count * 99 / 100],
           (double)count / seconds);
    dbus_message_unref(call);
    free(latencies);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 8) {
        fputs(
            "usage: bus-calls ADDRESS COUNT DEPTH DESTINATION PATH INTERFACE METHOD [ARGUMENT]...\n",
            stderr);
        return 2;
    }
    return measure(bench_bus_connect(argv[1]), strtoul(argv[2], NULL, 10),
                   strtoul(argv[3], NULL, 10), argv + 4, argv + 8);
}
