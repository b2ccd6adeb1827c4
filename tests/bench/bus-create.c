/* SPDX-License-Identifier: Apache-2.0 */
/* Creates VMs one after another, each paused before its first instruction, waits until its VMM is
 * up, and leaves it. Usage:
 *   bus-create ADDRESS COUNT CONFIG KEY=FILE...
 * Prints for each VM the microseconds from the call until it had started, and its object path. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench-bus.h"

#define BUS_NAME     "org.virtualizationd1"
#define MANAGER_PATH "/org/virtualizationd1"
#define MANAGER      BUS_NAME ".Manager"
#define VM           BUS_NAME ".VirtualMachine"
#define PROPERTIES   "org.freedesktop.DBus.Properties"

static void append_file(DBusMessageIter *files, char *argument)
{
    DBusMessageIter entry;
    char *path = strchr(argument, '=');
    if (!path)
        bench_fail(argument, "is no KEY=FILE");

    int fd = open(path + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_fail(path + 1, strerror(errno));
    char *key = strndup(argument, (size_t)(path - argument));
    dbus_message_iter_open_container(files, DBUS_TYPE_DICT_ENTRY, NULL, &entry);
    dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key);
    dbus_message_iter_append_basic(&entry, DBUS_TYPE_UNIX_FD, &fd);
    dbus_message_iter_close_container(files, &entry);
    free(key);
    close(fd); /* the message has a duplicate */
}

static void append_option(DBusMessageIter *options,
                          const char *name,
                          const char *type,
                          const void *value)
{
    DBusMessageIter entry, variant;

    dbus_message_iter_open_container(options, DBUS_TYPE_DICT_ENTRY, NULL, &entry);
    dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &name);
    dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, type, &variant);
    dbus_message_iter_append_basic(&variant, type[0], value);
    dbus_message_iter_close_container(&entry, &variant);
    dbus_message_iter_close_container(options, &entry);
}

static DBusMessage *make_call(char **argv)
{
    DBusMessage *call = dbus_message_new_method_call(BUS_NAME, MANAGER_PATH, MANAGER, "CreateVm");
    DBusMessageIter arguments, dictionary;
    const char *detached = "detached";
    dbus_bool_t yes = TRUE;

    dbus_message_iter_init_append(call, &arguments);
    dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, argv);
    dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "{sh}", &dictionary);
    for (char **file = argv + 1; *file; file++)
        append_file(&dictionary, *file);
    dbus_message_iter_close_container(&arguments, &dictionary);
    dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "{sv}", &dictionary);
    append_option(&dictionary, "lifetime", "s", &detached);
    append_option(&dictionary, "start", "b", &yes);
    append_option(&dictionary, "paused", "b", &yes);
    dbus_message_iter_close_container(&arguments, &dictionary);
    return call;
}

static dbus_uint64_t get_started_at(DBusConnection *connection, const char *path)
{
    const char *interface = VM, *name = "StartedAt";
    DBusMessage *call = dbus_message_new_method_call(BUS_NAME, path, PROPERTIES, "Get");
    DBusMessageIter arguments, variant;
    dbus_uint64_t usec;

    dbus_message_append_args(call, DBUS_TYPE_STRING, &interface, DBUS_TYPE_STRING, &name,
                             DBUS_TYPE_INVALID);
    DBusMessage *reply = bench_bus_call(connection, call);
    dbus_message_iter_init(reply, &arguments);
    dbus_message_iter_recurse(&arguments, &variant);
    dbus_message_iter_get_basic(&variant, &usec);
    dbus_message_unref(reply);
    return usec;
}

/* Only this VM's signals come here: a match for all of them would time what clients do to each
 * other. */
static void wait_started(DBusConnection *connection, const char *path)
{
    DBusError error = DBUS_ERROR_INIT;
    char match[256];

    (void)snprintf(match, sizeof(match), "type='signal',path='%s'", path);
    dbus_bus_add_match(connection, match, &error);
    if (dbus_error_is_set(&error))
        bench_fail(match, error.message);
    while (get_started_at(connection, path) == 0) {
        DBusMessage *signal;

        while (!(signal = dbus_connection_pop_message(connection))) {
            if (!dbus_connection_read_write(connection, -1))
                bench_fail(path, "the bus is gone");
        }
        if (dbus_message_is_signal(signal, VM, "Died"))
            bench_fail(path, "died before it had started");
        dbus_message_unref(signal);
    }
    dbus_bus_remove_match(connection, match, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: bus-create ADDRESS COUNT CONFIG KEY=FILE...\n", stderr);
        return 2;
    }
    DBusConnection *connection = bench_bus_connect(argv[1]);
    for (unsigned long left = strtoul(argv[2], NULL, 10); left > 0; left--) {
        const char *path;
        double began = now_usec();

        DBusMessage *reply = bench_bus_call(connection, make_call(argv + 3));
        dbus_message_get_args(reply, NULL, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID);
        wait_started(connection, path);
        printf("%.1f %s\n", now_usec() - began, path);
        dbus_message_unref(reply);
    }
    return 0;
}
