/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/stop-options.h"

#include <inttypes.h>
#include <string.h>

static int read_timeout(DBusMessageIter *variant,
                        const char *name,
                        uint64_t *ret_usec,
                        Error *error)
{
    dbus_uint64_t usec;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_UINT64)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the option '%s' is a 64-bit number of microseconds (type t)", name);
    dbus_message_iter_get_basic(variant, &usec);
    if (usec > STOP_TIMEOUT_USEC_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the option '%s' is at most %" PRIu64 " (an hour), not %" PRIu64, name,
                         STOP_TIMEOUT_USEC_MAX, (uint64_t)usec);
    *ret_usec = usec;
    return 0;
}

static int read_kill(DBusMessageIter *variant, bool *ret_kill, Error *error)
{
    dbus_bool_t kill;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_BOOLEAN)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the option 'kill' is a boolean");
    dbus_message_iter_get_basic(variant, &kill);
    *ret_kill = kill;
    return 0;
}

static int read_mode(DBusMessageIter *variant, StopStep *ret_first, Error *error)
{
    const char *mode;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_STRING)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the option 'mode' is a string");
    dbus_message_iter_get_basic(variant, &mode);
    if (stop_step_from_string(mode, ret_first) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the option 'mode' is 'guest', 'acpi' or 'kill', not '%s'", mode);
    return 0;
}

int stop_options_read(DBusMessageIter *dictionary, StopPlan *ret_plan, Error *error)
{
    StopPlan plan = STOP_PLAN_DEFAULT;
    DBusMessageIter entries, entry, variant;
    const char *name;
    int r = 0;

    dbus_message_iter_recurse(dictionary, &entries);
    while (r >= 0 && dbus_message_iter_get_arg_type(&entries) == DBUS_TYPE_DICT_ENTRY) {
        dbus_message_iter_recurse(&entries, &entry);
        dbus_message_iter_get_basic(&entry, &name);
        dbus_message_iter_next(&entry);
        dbus_message_iter_recurse(&entry, &variant);
        if (strcmp(name, "guest-timeout") == 0)
            r = read_timeout(&variant, name, &plan.guest_timeout_usec, error);
        else if (strcmp(name, "acpi-timeout") == 0)
            r = read_timeout(&variant, name, &plan.acpi_timeout_usec, error);
        else if (strcmp(name, "kill") == 0)
            r = read_kill(&variant, &plan.kill, error);
        else if (strcmp(name, "mode") == 0)
            r = read_mode(&variant, &plan.first, error);
        else
            r = error_set(error, ERROR_INVALID_ARGUMENT,
                          "there is no option '%s': 'guest-timeout', 'acpi-timeout', 'kill' and "
                          "'mode' are",
                          name);
        dbus_message_iter_next(&entries);
    }
    if (r >= 0 && plan.first == STOP_STEP_KILL && !plan.kill)
        r = error_set(error, ERROR_INVALID_ARGUMENT,
                      "the mode 'kill' does not go with the option 'kill' being false");
    if (r < 0)
        return r;

    *ret_plan = plan;
    return 0;
}
