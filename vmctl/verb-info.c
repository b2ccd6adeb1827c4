/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

static void print_value(struct json_object *value)
{
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            (void)fputs(i > 0 ? ", " : "", stdout);
            print_value(json_object_array_get_idx(value, i));
        }
    } else if (json_object_is_type(value, json_type_boolean)) {
        (void)fputs(json_object_get_boolean(value) ? "yes" : "no", stdout);
    } else {
        const char *text = json_object_get_string(value);
        _cleanup_free_ char *escaped = output_dup_line(text ? text : "");
        (void)fputs(escaped ? escaped : "", stdout);
    }
}

static void print_table(struct json_object *capabilities)
{
    json_object_object_foreach(capabilities, key, value)
    {
        _cleanup_free_ char *escaped = output_dup_line(key);

        printf("%s: ", escaped ? escaped : "");
        print_value(value);
        (void)putchar('\n');
    }
}

int verb_info(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *capabilities = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = client_new(options->bus, &client, &error);
    if (r >= 0) {
        DBusMessage *call = client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE,
                                            "GetCapabilities", DBUS_TYPE_INVALID);
        r = client_call(client, call, "a{sv}", &capabilities, &error);
    }
    if (r < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }

    if (options->json == JSON_FORMAT_OFF)
        print_table(capabilities);
    else
        output_json(capabilities, options->json);
    if (bus_value_is_true(capabilities, "non-protected-vms") ||
        bus_value_is_true(capabilities, "protected-vms"))
        return EXIT_STATUS_OK;
    return EXIT_STATUS_FAILED;
}
