/* SPDX-License-Identifier: Apache-2.0 */
/* The name is AVF's. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

static int check(const Options *options, bool *ret_enabled, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *enabled = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    const char *name = options->arguments[0];

    if (!text_is_utf8(name, strlen(name))) /* libdbus takes no other text */
        return error_set(error, ERROR_INVALID_ARGUMENT, "the feature '%s' is no UTF-8", name);
    int r = client_new(options, &client, error);
    if (r >= 0)
        r = client_call(client,
                        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "IsFeatureEnabled",
                                        DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID),
                        "b", &enabled, error);
    if (r >= 0)
        *ret_enabled = json_object_get_boolean(enabled);
    return r;
}

static int print(const Options *options, bool enabled, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();

    if (!object || json_member_add_string(object, "feature", options->arguments[0]) < 0 ||
        json_member_add_bool(object, "enabled", enabled) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (options->json != JSON_FORMAT_OFF)
        output_json(object, options->json);
    else if (!options->quiet)
        (void)puts(enabled ? "enabled" : "disabled"); /* output_finish() sees an error */
    return 0;
}

int verb_check_feature_enabled(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    bool enabled = false;

    int r = check(options, &enabled, &error);
    if (r >= 0)
        r = print(options, enabled, &error);
    if (r < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    return enabled ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
