/* SPDX-License-Identifier: Apache-2.0 */
/* The floors of a bus service: what a call costs when nothing stands behind it. Usage:
 *   bus-echo ADDRESS NAME libdbus|sd-bus
 * Says "ready" and serves at /echo, interface bench.Echo, until it is ended:
 *   Ping()                         with both libraries
 *   ListVms(u) -> a(osssuu)        as many entries, all the same: what it costs to put a list of
 *   GetManagedObjects(u) -> a{oa{sa{sv}}}    VMs together and to send it, without any VM */
#include <dbus/dbus.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "tests/bench/bench-bus.h"

#define ECHO_PATH      "/echo"
#define ECHO_INTERFACE "bench.Echo"
#define N_PROPERTIES   16 /* those of a VM are as many, and every other one a string */

static const char vm_path[] = "/org/virtualizationd1/vm/0123456789abcdef0123456789abcdef";
static const char vm_id[] = "0123456789abcdef0123456789abcdef";

static void append(DBusMessageIter *to, int type, const void *value)
{
    if (!dbus_message_iter_append_basic(to, type, value))
        bench_fail("append", "out of memory");
}

static void append_text(DBusMessageIter *to, int type, const char *text)
{
    append(to, type, &text);
}

static void append_list(DBusMessageIter *arguments, dbus_uint32_t count)
{
    DBusMessageIter vms, entry;

    dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "(osssuu)", &vms);
    for (dbus_uint32_t i = 0; i < count; i++) {
        dbus_message_iter_open_container(&vms, DBUS_TYPE_STRUCT, NULL, &entry);
        append_text(&entry, DBUS_TYPE_OBJECT_PATH, vm_path);
        append_text(&entry, DBUS_TYPE_STRING, vm_id);
        append_text(&entry, DBUS_TYPE_STRING, vm_id);
        append_text(&entry, DBUS_TYPE_STRING, "starting");
        append(&entry, DBUS_TYPE_UINT32, &i);
        append(&entry, DBUS_TYPE_UINT32, &i);
        dbus_message_iter_close_container(&vms, &entry);
    }
    dbus_message_iter_close_container(arguments, &vms);
}

static void append_properties(DBusMessageIter *interface)
{
    DBusMessageIter properties, property, variant;
    dbus_uint64_t number = 1;

    dbus_message_iter_open_container(interface, DBUS_TYPE_ARRAY, "{sv}", &properties);
    for (int i = 0; i < N_PROPERTIES; i++) {
        dbus_message_iter_open_container(&properties, DBUS_TYPE_DICT_ENTRY, NULL, &property);
        append_text(&property, DBUS_TYPE_STRING, "Property");
        dbus_message_iter_open_container(&property, DBUS_TYPE_VARIANT, i % 2 ? "s" : "t", &variant);
        if (i % 2)
            append_text(&variant, DBUS_TYPE_STRING, "starting");
        else
            append(&variant, DBUS_TYPE_UINT64, &number);
        dbus_message_iter_close_container(&property, &variant);
        dbus_message_iter_close_container(&properties, &property);
    }
    dbus_message_iter_close_container(interface, &properties);
}

static void append_objects(DBusMessageIter *arguments, dbus_uint32_t count)
{
    DBusMessageIter objects, object, interfaces, interface;

    dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "{oa{sa{sv}}}", &objects);
    for (dbus_uint32_t i = 0; i < count; i++) {
        dbus_message_iter_open_container(&objects, DBUS_TYPE_DICT_ENTRY, NULL, &object);
        append_text(&object, DBUS_TYPE_OBJECT_PATH, vm_path);
        dbus_message_iter_open_container(&object, DBUS_TYPE_ARRAY, "{sa{sv}}", &interfaces);
        dbus_message_iter_open_container(&interfaces, DBUS_TYPE_DICT_ENTRY, NULL, &interface);
        append_text(&interface, DBUS_TYPE_STRING, "org.virtualizationd1.VirtualMachine");
        append_properties(&interface);
        dbus_message_iter_close_container(&interfaces, &interface);
        dbus_message_iter_close_container(&object, &interfaces);
        dbus_message_iter_close_container(&objects, &object);
    }
    dbus_message_iter_close_container(arguments, &objects);
}

static DBusHandlerResult on_message(DBusConnection *connection, DBusMessage *call, void *userdata)
{
    DBusMessageIter arguments;
    dbus_uint32_t count = 0;

    (void)userdata;
    if (dbus_message_get_type(call) != DBUS_MESSAGE_TYPE_METHOD_CALL)
        return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
    (void)dbus_message_get_args(call, NULL, DBUS_TYPE_UINT32, &count, DBUS_TYPE_INVALID);

    DBusMessage *reply = dbus_message_new_method_return(call);
    dbus_message_iter_init_append(reply, &arguments);
    if (dbus_message_is_method_call(call, ECHO_INTERFACE, "ListVms"))
        append_list(&arguments, count);
    else if (dbus_message_is_method_call(call, ECHO_INTERFACE, "GetManagedObjects"))
        append_objects(&arguments, count);
    dbus_connection_send(connection, reply, NULL);
    dbus_message_unref(reply);
    return DBUS_HANDLER_RESULT_HANDLED;
}

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static int serve_libdbus(const char *address, const char *name)
{
    static const DBusObjectPathVTable vtable = { .message_function = on_message };
    DBusConnection *connection = bench_bus_connect(address);

    if (!dbus_connection_register_object_path(connection, ECHO_PATH, &vtable, NULL) ||
        dbus_bus_request_name(connection, name, 0, NULL) < 0)
        bench_fail(name, "cannot be served");
    say_ready();
    while (dbus_connection_read_write_dispatch(connection, -1))
        ;
    return 0;
}

static int on_sd_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    (void)userdata;
    (void)error;
    int r = sd_bus_reply_method_return(call, NULL);
    return r < 0 ? r : 1;
}

static int serve_sd_bus(const char *address, const char *name)
{
    sd_bus *bus = NULL;

    int r = sd_bus_new(&bus);
    if (r >= 0)
        r = sd_bus_set_address(bus, address);
    if (r >= 0)
        r = sd_bus_set_bus_client(bus, 1);
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r >= 0)
        r = sd_bus_add_object(bus, NULL, ECHO_PATH, on_sd_call, NULL);
    if (r >= 0)
        r = sd_bus_request_name(bus, name, 0);
    if (r >= 0)
        say_ready();
    while (r >= 0) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    sd_bus_unref(bus);
    bench_fail(name, strerror(-r));
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[3], "libdbus") == 0)
        return serve_libdbus(argv[1], argv[2]);
    if (argc == 4 && strcmp(argv[3], "sd-bus") == 0)
        return serve_sd_bus(argv[1], argv[2]);
    fputs("usage: bus-echo ADDRESS NAME libdbus|sd-bus\n", stderr);
    return 2;
}
