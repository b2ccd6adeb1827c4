/* SPDX-License-Identifier: Apache-2.0 */
/* Times bus calls, one at a time and many in flight: against an echo service on libdbus, which is
 * the floor, and against any method. Usage:
 *   bus-calls ADDRESS serve NAME
 *   bus-calls ADDRESS call COUNT DEPTH DESTINATION PATH INTERFACE METHOD [s:TEXT | b:0 | b:1]...
 * Prints "median p99 rate": microseconds twice, calls a second. */
#include <dbus/dbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 1024

static double now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static DBusConnection *connect_bus(const char *address)
{
    DBusError error = DBUS_ERROR_INIT;
    DBusConnection *connection = dbus_connection_open_private(address, &error);

    if (!connection || !dbus_bus_register(connection, &error)) {
        fprintf(stderr, "bus-calls: %s\n", error.message);
        exit(1);
    }
    return connection;
}

static DBusHandlerResult on_echo(DBusConnection *connection, DBusMessage *message, void *userdata)
{
    (void)userdata;
    if (!dbus_message_is_method_call(message, "bench.Echo", "Ping"))
        return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
    DBusMessage *reply = dbus_message_new_method_return(message);
    dbus_connection_send(connection, reply, NULL);
    dbus_message_unref(reply);
    return DBUS_HANDLER_RESULT_HANDLED;
}

static int serve(DBusConnection *connection, const char *name)
{
    static const DBusObjectPathVTable vtable = { .message_function = on_echo };

    if (!dbus_connection_register_object_path(connection, "/echo", &vtable, NULL) ||
        dbus_bus_request_name(connection, name, 0, NULL) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    while (dbus_connection_read_write_dispatch(connection, -1))
        ;
    return 0;
}

static DBusMessage *make_call(char **target, char **arguments)
{
    DBusMessage *call = dbus_message_new_method_call(target[0], target[1], target[2], target[3]);

    for (; *arguments; arguments++) {
        const char *text = *arguments + 2;
        dbus_bool_t boolean = strcmp(text, "1") == 0;
        DBusMessageIter iterator;

        dbus_message_iter_init_append(call, &iterator);
        if ((*arguments)[0] == 's')
            dbus_message_iter_append_basic(&iterator, DBUS_TYPE_STRING, &text);
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
    if (argc == 4 && strcmp(argv[2], "serve") == 0)
        return serve(connect_bus(argv[1]), argv[3]);
    if (argc >= 9 && strcmp(argv[2], "call") == 0)
        return measure(connect_bus(argv[1]), strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10),
                       argv + 5, argv + 9);
    fputs("usage: bus-calls ADDRESS serve NAME | call COUNT DEPTH TARGET...\n", stderr);
    return 2;
}
