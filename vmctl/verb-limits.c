/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

/* A size where the resource is memory, of the caller or of all. */
static void print_amount(const char *resource, uint64_t amount, char text[QUANTITY_TEXT_SIZE])
{
    size_t length = strlen(resource), tail = strlen("memory");

    if (length >= tail && strcmp(resource + length - tail, "memory") == 0)
        quantity_print_size(amount, text);
    else
        (void)snprintf(text, QUANTITY_TEXT_SIZE, "%" PRIu64, amount);
}

static int add_row(Table *table, const char *resource, uint64_t used, uint64_t max)
{
    char used_text[QUANTITY_TEXT_SIZE], max_text[QUANTITY_TEXT_SIZE] = "no limit";

    print_amount(resource, used, used_text);
    if (max != UINT64_MAX)
        print_amount(resource, max, max_text);
    int r = table_add(table, resource);
    if (r >= 0)
        r = table_add(table, used_text);
    return r < 0 ? r : table_add(table, max_text);
}

static int add_member(struct json_object *object, const char *resource, uint64_t used, uint64_t max)
{
    struct json_object *pair = json_member_add_object(object, resource);
    int r = pair ? json_member_add_number(pair, "used", used) : -ENOMEM;

    if (r < 0)
        return r;
    return max == UINT64_MAX ? json_member_add(pair, "max", NULL)
                             : json_member_add_number(pair, "max", max);
}

static int print(const Options *options, struct json_object *limits)
{
    static const char *const headings[] = { "RESOURCE", "USED", "MAX" };
    _cleanup_(json_object_putp) struct json_object *object = json_object_new_object();
    _cleanup_(table_deinit) Table table;
    int r = object ? 0 : -ENOMEM;

    table_init(&table, headings, ELEMENTS_OF(headings));
    json_object_object_foreach(limits, resource, pair)
    {
        uint64_t used = json_object_get_uint64(json_object_array_get_idx(pair, 0));
        uint64_t max = json_object_get_uint64(json_object_array_get_idx(pair, 1));

        if (r >= 0)
            r = add_row(&table, resource, used, max);
        if (r >= 0)
            r = add_member(object, resource, used, max);
    }
    if (r < 0)
        return r;
    if (options->json == JSON_FORMAT_OFF)
        table_print(&table, output_has_legend(options));
    else
        output_json(object, options->json);
    return 0;
}

int verb_limits(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *limits = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = client_new(options, &client, &error);
    if (r >= 0)
        r = client_call(client,
                        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "GetLimits",
                                        DBUS_TYPE_INVALID),
                        "a{sv}", &limits, &error);
    if (r >= 0 && print(options, limits) < 0)
        (void)error_set(&error, ERROR_NO_MEMORY, "out of memory");
    if (error.kind != ERROR_NONE)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
