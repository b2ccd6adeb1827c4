/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

typedef struct Filter {
    const Options *options;
    bool has_owner;
    uint64_t owner;
} Filter;

static int read_owner(Filter *filter, Error *error)
{
    const char *text = filter->options->owner;

    if (!text)
        return 0;
    filter->has_owner = true;
    const struct passwd *user = getpwnam(text);
    if (user) {
        filter->owner = user->pw_uid;
        return 0;
    }
    if (text_parse_u64(text, UINT32_MAX, &filter->owner) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--owner' takes a user's name or uid: there is no user '%s'",
                         text);
    return 0;
}

/* Without arguments all of them are. */
static bool is_named(const Options *options, struct json_object *vm)
{
    for (size_t i = 0; i < options->n_arguments; i++) {
        const char *argument = options->arguments[i];

        if (fnmatch(argument, client_get_vm_field(vm, VM_FIELD_NAME), 0) == 0 ||
            strcmp(argument, client_get_vm_field(vm, VM_FIELD_ID)) == 0)
            return true;
    }
    return options->n_arguments == 0;
}

static bool is_wanted(const Filter *filter, struct json_object *vm)
{
    const char *state = client_get_vm_field(vm, VM_FIELD_STATE);
    struct json_object *owner = json_object_array_get_idx(vm, VM_FIELD_OWNER);

    if (filter->options->state && strcmp(filter->options->state, state) != 0)
        return false;
    if (filter->has_owner && json_object_get_uint64(owner) != filter->owner)
        return false;
    return is_named(filter->options, vm);
}

/* An array of those that are wanted. */
static int list_vms(const Filter *filter, struct json_object **ret_vms, Error *error)
{
    const Options *options = filter->options;
    _cleanup_(json_object_putp) struct json_object *all = NULL, *wanted = json_object_new_array();
    _cleanup_(client_freep) Client *client = NULL;
    bool dead = options->all || (options->state && strcmp(options->state, "dead") == 0);

    if (!wanted)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = client_new(options, &client, error);
    if (r >= 0)
        r = client_list_vms(client, dead, &all, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *vm = json_object_array_get_idx(all, i);

        if (is_wanted(filter, vm) && json_object_array_add(wanted, json_object_get(vm)) < 0) {
            json_object_put(vm);
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        }
    }
    *ret_vms = TAKE_PTR(wanted);
    return 0;
}

/* The user whose name was asked for last: most rows have the same. */
typedef struct LastUser {
    uid_t uid;
    char *name; /* NULL: nobody was asked for; the uid for one without a name */
} LastUser;

static void last_user_deinit(LastUser *last)
{
    free(last->name);
}

/* Valid until the next call. */
static const char *name_owner(LastUser *last, struct json_object *vm)
{
    uid_t uid = (uid_t)json_object_get_int64(json_object_array_get_idx(vm, VM_FIELD_OWNER));
    const char *number = client_get_vm_field(vm, VM_FIELD_OWNER);

    if (!last->name || last->uid != uid) {
        const struct passwd *user = getpwuid(uid);

        free(last->name);
        last->name = strdup(user ? user->pw_name : number);
        last->uid = uid;
    }
    return last->name ? last->name : number;
}

static int add_row(Table *table, struct json_object *vm, LastUser *last)
{
    const char *cells[] = { client_get_vm_field(vm, VM_FIELD_NAME),
                            client_get_vm_field(vm, VM_FIELD_STATE),
                            client_get_vm_field(vm, VM_FIELD_CID), name_owner(last, vm),
                            client_get_vm_field(vm, VM_FIELD_ID) };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(cells); i++)
        r = table_add(table, cells[i] ? cells[i] : "");
    return r;
}

static int print_table(const Options *options, struct json_object *vms)
{
    static const char *const headings[] = { "NAME", "STATE", "CID", "OWNER", "ID" };
    _cleanup_(last_user_deinit) LastUser last = { 0 };
    _cleanup_(table_deinit) Table table;
    bool legend = output_has_legend(options);
    size_t n_vms = json_object_array_length(vms);
    int r = 0;

    table_init(&table, headings, ELEMENTS_OF(headings));
    for (size_t i = 0; r >= 0 && i < n_vms; i++)
        r = add_row(&table, json_object_array_get_idx(vms, i), &last);
    if (r < 0)
        return r;
    table_print(&table, legend);
    if (legend)
        printf("%s%zu VM%s listed.\n", n_vms > 0 ? "\n" : "", n_vms, n_vms == 1 ? "" : "s");
    return 0;
}

static int print_json(struct json_object *vms, JsonFormat format)
{
    static const struct {
        const char *key;
        VmField field;
    } members[] = { { "id", VM_FIELD_ID },
                    { "name", VM_FIELD_NAME },
                    { "state", VM_FIELD_STATE },
                    { "cid", VM_FIELD_CID },
                    { "owner", VM_FIELD_OWNER } };
    _cleanup_(json_object_putp) struct json_object *array = json_object_new_array();
    if (!array)
        return -ENOMEM;

    for (size_t i = 0; i < json_object_array_length(vms); i++) {
        struct json_object *vm = json_object_array_get_idx(vms, i);
        struct json_object *object = json_array_add_object(array);
        int r = object ? 0 : -ENOMEM;

        for (size_t j = 0; r >= 0 && j < ELEMENTS_OF(members); j++)
            r = json_member_add(object, members[j].key,
                                json_object_get(json_object_array_get_idx(vm, members[j].field)));
        if (r < 0)
            return r;
    }
    output_json(array, format);
    return 0;
}

int verb_list(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *vms = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Filter filter = { .options = options };

    int r = read_owner(&filter, &error);
    if (r >= 0)
        r = list_vms(&filter, &vms, &error);
    if (r >= 0) {
        r = options->json == JSON_FORMAT_OFF ? print_table(options, vms)
                                             : print_json(vms, options->json);
        if (r < 0)
            (void)error_set(&error, ERROR_NO_MEMORY, "out of memory");
    }
    if (r < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
