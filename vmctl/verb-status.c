/* SPDX-License-Identifier: Apache-2.0 */
/* "status": what is known of one VM, and once it is dead, what it died of. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

#define BYTES_PER_MIB 1048576

/* Properties of the VM's, and their names here, which are those of the death record and of "list".
 */
static const struct {
    const char *property, *key;
} property_table[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "State", "state" },
    { "Owner", "owner" },
    { "Cid", "cid" },
    { "Memory", "memory" },
    { "Cpus", "cpus" },
    { "Vmm", "vmm" },
    { "Pid", "pid" },
    { "CreatedAt", "created" },
    { "StartedAt", "started" },
    { "StopStep", "stop-step" },
    { "SeccompAction", "seccomp-action" },
};

/* --- asking --- */

static int add_properties(struct json_object *status, struct json_object *properties, Error *error)
{
    for (size_t i = 0; i < ELEMENTS_OF(property_table); i++) {
        struct json_object *value;

        if (!json_object_object_get_ex(properties, property_table[i].property, &value))
            continue; /* of another version */
        if (json_object_object_add(status, property_table[i].key, json_object_get(value)) < 0) {
            json_object_put(value);
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
        }
    }
    return 0;
}

static int fetch_properties(Client *client,
                            const char *path,
                            struct json_object *status,
                            Error *error)
{
    _cleanup_(json_object_putp) struct json_object *properties = NULL;
    const char *interface = BUS_VM_INTERFACE;

    DBusMessage *call = client_new_call(client, path, DBUS_INTERFACE_PROPERTIES, "GetAll",
                                        DBUS_TYPE_STRING, &interface, DBUS_TYPE_INVALID);
    int r = client_call(client, call, "a{sv}", &properties, error);
    return r < 0 ? r : add_properties(status, properties, error);
}

static int fetch_death(Client *client, const char *path, struct json_object *status, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *record = NULL;

    int r = client_call_vm(client, path, "GetDeathRecord", "a{sv}", &record, error);
    if (r < 0)
        return r;
    if (json_object_object_add(status, "death", record) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    (void)TAKE_PTR(record); /* the status's now */
    return 0;
}

static int fetch_status(const Options *options, struct json_object *status, Error *error)
{
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_free_ char *path = NULL;
    const char *state;

    int r = client_new(options->bus, &client, error);
    if (r >= 0)
        r = client_find_vm(client, options->arguments[0], &path, error);
    if (r >= 0)
        r = fetch_properties(client, path, status, error);
    if (r >= 0 && bus_value_get_string(status, "state", &state) && strcmp(state, "dead") == 0)
        r = fetch_death(client, path, status, error);
    return r;
}

/* --- printing --- */

static void print_time(int64_t usec)
{
    char text[OUTPUT_TIME_SIZE];

    output_format_time(usec, text);
    printf(" %s\n", usec > 0 ? text : "never");
}

static void print_owner(int64_t uid)
{
    const struct passwd *user = getpwuid((uid_t)uid);

    if (user)
        printf(" %s\n", user->pw_name);
    else
        printf(" %" PRId64 "\n", uid);
}

static void print_memory(int64_t bytes)
{
    printf(" %" PRId64 " MiB\n", bytes / BYTES_PER_MIB);
}

static void print_signal(int64_t number)
{
    const char *description = number > 0 && number < 65 ? strsignal((int)number) : "unknown";

    printf(" %" PRId64 " (%s)\n", number, description);
}

/* Numbers that say little as such. */
static const struct {
    const char *key;
    void (*print)(int64_t number);
} number_table[] = {
    { "owner", print_owner },       { "memory", print_memory }, { "created", print_time },
    { "started", print_time },      { "died", print_time },     { "payload-signal", print_signal },
    { "vmm-signal", print_signal },
};

/* One line, or more of them below the key, indented. */
static void print_text(const char *text)
{
    _cleanup_free_ char *escaped = output_dup_escaped(text);
    if (!escaped)
        return;

    size_t length = strlen(escaped);
    while (length > 0 && escaped[length - 1] == '\n')
        escaped[--length] = '\0';
    const char *before = strchr(escaped, '\n') ? "\n    " : " ";
    char *rest = escaped;
    for (const char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        printf("%s%s", before, line);
    (void)putchar('\n');
}

static void print_value(const char *key, struct json_object *value)
{
    for (size_t i = 0; i < ELEMENTS_OF(number_table); i++) {
        if (strcmp(number_table[i].key, key) == 0) {
            number_table[i].print(json_object_get_int64(value));
            return;
        }
    }
    if (json_object_is_type(value, json_type_boolean))
        puts(json_object_get_boolean(value) ? " yes" : " no");
    else
        print_text(json_object_get_string(value));
}

/* What is empty is left out, and of the death what was said of the VM before. */
static void print_object(struct json_object *object, struct json_object *before)
{
    json_object_object_foreach(object, key, value)
    {
        const char *text =
            json_object_is_type(value, json_type_object) ? "" : json_object_get_string(value);

        if (!text || text[0] == '\0' || json_object_object_get_ex(before, key, NULL))
            continue;
        _cleanup_free_ char *name = output_dup_line(key);
        printf("%s:", name ? name : "");
        print_value(key, value);
    }
}

static void print_status(struct json_object *status)
{
    struct json_object *death;

    print_object(status, NULL);
    if (json_object_object_get_ex(status, "death", &death))
        print_object(death, status);
}

int verb_status(const Options *options)
{
    _cleanup_(json_object_putp) struct json_object *status = json_object_new_object();
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = status ? fetch_status(options, status, &error)
                   : error_set(&error, ERROR_NO_MEMORY, "out of memory");
    /* What all may know is shown, though the death is for the owner. */
    if (status && json_object_object_length(status) > 0) {
        if (options->json == JSON_FORMAT_OFF)
            print_status(status);
        else
            output_json(status, options->json);
    }
    if (r >= 0)
        return EXIT_STATUS_OK;
    output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
