/* SPDX-License-Identifier: Apache-2.0 */
/* Kills a process by SIGKILL and times what follows. Usage:
 *   bus-kill PID                  prints the microseconds until it has ended
 *   bus-kill PID ADDRESS PATH     and those until the bus at ADDRESS brings Died from PATH */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "tests/bench/bench-bus.h"

static DBusHandlerResult on_message(DBusConnection *connection,
                                    DBusMessage *message,
                                    void *userdata)
{
    double *told = userdata;

    (void)connection;
    if (strcmp(dbus_message_get_member(message) ?: "", "Died") == 0 && *told == 0)
        *told = now_usec();
    return DBUS_HANDLER_RESULT_HANDLED;
}

static DBusConnection *watch(const char *address, const char *path, double *told)
{
    DBusConnection *connection = bench_bus_connect(address);
    DBusError error = DBUS_ERROR_INIT;
    char match[256];

    (void)snprintf(match, sizeof(match), "type='signal',member='Died',path='%s'", path);
    dbus_bus_add_match(connection, match, &error);
    if (dbus_error_is_set(&error) ||
        !dbus_connection_add_filter(connection, on_message, told, NULL))
        bench_fail(match, error.message);
    return connection;
}

int main(int argc, char **argv)
{
    DBusConnection *connection = NULL;
    double ended = 0, told = 0;
    struct pollfd fds[2] = { { .events = POLLIN }, { .fd = -1, .events = POLLIN } };

    if (argc != 2 && argc != 4) {
        fputs("usage: bus-kill PID [ADDRESS PATH]\n", stderr);
        return 2;
    }
    fds[0].fd = pidfd_open((pid_t)strtol(argv[1], NULL, 10), 0);
    if (fds[0].fd < 0)
        bench_fail(argv[1], strerror(errno));
    if (argc == 4) {
        connection = watch(argv[2], argv[3], &told);
        (void)dbus_connection_get_unix_fd(connection, &fds[1].fd);
    }

    double began = now_usec();
    if (pidfd_send_signal(fds[0].fd, SIGKILL, NULL, 0) < 0)
        bench_fail(argv[1], strerror(errno));
    while (ended == 0 || (connection && told == 0)) {
        if (poll(fds, 2, -1) < 0)
            bench_fail("poll", strerror(errno));
        if (fds[0].revents && ended == 0) {
            ended = now_usec();
            fds[0].fd = -1;
        }
        if (fds[1].revents) {
            (void)dbus_connection_read_write(connection, 0);
            while (dbus_connection_dispatch(connection) == DBUS_DISPATCH_DATA_REMAINS)
                ;
        }
    }
    printf("%.1f", ended - began);
    if (connection)
        printf(" %.1f", told - began);
    puts("");
    return 0;
}
