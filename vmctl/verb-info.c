/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

#define VERSION_SIZE 256

/* What the VMM's program says of itself. It is asked here, as the daemon may execute nothing. */
static int add_vmm_version(struct json_object *capabilities)
{
    char text[VERSION_SIZE] = "";
    FILE *output = popen("/usr/bin/qemu-system-x86_64 --version 2>/dev/null", "re");

    if (output && !fgets(text, sizeof(text), output))
        text[0] = '\0';
    if (output)
        (void)pclose(output); /* without a line there is no version, whatever it says */
    text[strcspn(text, "\n")] = '\0';
    return json_member_add_string(capabilities, "vmm-version", text[0] ? text : NULL);
}

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

static void print_capabilities(struct json_object *capabilities)
{
    json_object_object_foreach(capabilities, key, value)
    {
        _cleanup_free_ char *escaped = output_dup_line(key);

        if (strcmp(key, "checks") == 0)
            continue;
        printf("%s: ", escaped ? escaped : "");
        print_value(value);
        (void)putchar('\n');
    }
}

static int print_checks(const Options *options, struct json_object *checks)
{
    static const char *const headings[] = { "CHECK", "RESULT", "FINDING", "REMEDY" };
    static const char *const keys[] = { "name", "result", "finding", "remedy" };
    _cleanup_(table_deinit) Table table;
    int r = 0;

    table_init(&table, headings, ELEMENTS_OF(headings));
    for (size_t i = 0; checks && i < json_object_array_length(checks); i++) {
        for (size_t j = 0; r >= 0 && j < ELEMENTS_OF(keys); j++) {
            const char *text = "";

            (void)bus_value_get_string(json_object_array_get_idx(checks, i), keys[j], &text);
            r = table_add(&table, text);
        }
    }
    if (r >= 0)
        table_print(&table, output_has_legend(options));
    return r;
}

static bool has_failed_check(struct json_object *checks)
{
    const char *result;

    for (size_t i = 0; checks && i < json_object_array_length(checks); i++) {
        if (bus_value_get_string(json_object_array_get_idx(checks, i), "result", &result) &&
            strcmp(result, "failed") == 0)
            return true;
    }
    return false;
}

static int print(const Options *options, struct json_object *capabilities)
{
    if (options->json != JSON_FORMAT_OFF)
        output_json(capabilities, options->json);
    else if (!options->quiet) {
        print_capabilities(capabilities);
        (void)putchar('\n');
        return print_checks(options, json_object_object_get(capabilities, "checks"));
    }
    return 0;
}

int verb_info(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *capabilities = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = client_new(options, &client, &error);
    if (r >= 0)
        r = client_call(client,
                        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "GetCapabilities",
                                        DBUS_TYPE_INVALID),
                        "a{sv}", &capabilities, &error);
    if (r >= 0 && add_vmm_version(capabilities) < 0)
        r = error_set(&error, ERROR_NO_MEMORY, "out of memory");
    if (r >= 0 && print(options, capabilities) < 0)
        r = error_set(&error, ERROR_NO_MEMORY, "out of memory");
    if (r < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    return has_failed_check(json_object_object_get(capabilities, "checks")) ? EXIT_STATUS_FAILED
                                                                            : EXIT_STATUS_OK;
}
