/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

/* The fields of one element of ListVms()'s reply. */
enum {
    FIELD_PATH,
    FIELD_ID,
    FIELD_NAME,
    FIELD_STATE,
    FIELD_CID,
    FIELD_OWNER
};

static int list_vms(const Options *options, struct json_object **ret_vms, Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;
    dbus_bool_t all = options->all;

    int r = client_new(options->bus, &client, error);
    if (r < 0)
        return r;
    DBusMessage *call = client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "ListVms",
                                        DBUS_TYPE_BOOLEAN, &all, DBUS_TYPE_INVALID);
    return client_call(client, call, "a(osssuu)", ret_vms, error);
}

static const char *get_text(struct json_object *vm, size_t field)
{
    return json_object_get_string(json_object_array_get_idx(vm, field));
}

static int add_row(Table *table, struct json_object *vm)
{
    struct json_object *owner = json_object_array_get_idx(vm, FIELD_OWNER);
    const struct passwd *user = getpwuid((uid_t)json_object_get_int64(owner));
    const char *cells[] = { get_text(vm, FIELD_NAME), get_text(vm, FIELD_STATE),
                            get_text(vm, FIELD_CID),
                            user ? user->pw_name : get_text(vm, FIELD_OWNER),
                            get_text(vm, FIELD_ID) };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(cells); i++)
        r = table_add(table, cells[i] ? cells[i] : "");
    return r;
}

static int print_table(struct json_object *vms)
{
    static const char *const headings[] = { "NAME", "STATE", "CID", "OWNER", "ID" };
    _cleanup_(table_deinit) Table table;
    bool is_terminal = isatty(STDOUT_FILENO) == 1;
    size_t n_vms = json_object_array_length(vms);
    int r = 0;

    table_init(&table, headings, ELEMENTS_OF(headings));
    for (size_t i = 0; r >= 0 && i < n_vms; i++)
        r = add_row(&table, json_object_array_get_idx(vms, i));
    if (r < 0)
        return r;
    table_print(&table, is_terminal);
    if (is_terminal)
        printf("%s%zu VM%s listed.\n", n_vms > 0 ? "\n" : "", n_vms, n_vms == 1 ? "" : "s");
    return 0;
}

static int print_json(struct json_object *vms, JsonFormat format)
{
    static const struct {
        const char *key;
        size_t field;
    } members[] = { { "id", FIELD_ID },
                    { "name", FIELD_NAME },
                    { "state", FIELD_STATE },
                    { "cid", FIELD_CID },
                    { "owner", FIELD_OWNER } };
    _cleanup_(json_object_putp) struct json_object *array = json_object_new_array();
    if (!array)
        return -ENOMEM;

    for (size_t i = 0; i < json_object_array_length(vms); i++) {
        struct json_object *vm = json_object_array_get_idx(vms, i);
        struct json_object *object = json_object_new_object();

        if (!object || json_object_array_add(array, object) < 0) {
            json_object_put(object);
            return -ENOMEM;
        }
        for (size_t j = 0; j < ELEMENTS_OF(members); j++) {
            struct json_object *value = json_object_array_get_idx(vm, members[j].field);

            if (json_object_object_add(object, members[j].key, json_object_get(value)) < 0) {
                json_object_put(value);
                return -ENOMEM;
            }
        }
    }
    output_json(array, format);
    return 0;
}

int verb_list(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *vms = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = list_vms(options, &vms, &error);
    if (r >= 0) {
        r = options->json == JSON_FORMAT_OFF ? print_table(vms) : print_json(vms, options->json);
        if (r < 0)
            (void)error_set(&error, ERROR_NO_MEMORY, "out of memory");
    }
    if (r < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
