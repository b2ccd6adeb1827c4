/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-validate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/vm-create.h"

#define LABEL_WIDTH 13

static void print_label(const char *label)
{
    printf("%*s%s ", LABEL_WIDTH, label, *label ? ":" : " ");
}

static void print_line(const char *label, const char *text, const char *more)
{
    _cleanup_free_ char *line = output_dup_line(text);

    print_label(label);
    printf("%s%s\n", line ? line : "", more);
}

static void print_string(const char *label, struct json_object *plan, const char *key)
{
    const char *text = "";

    if (bus_value_get_string(plan, key, &text) && *text)
        print_line(label, text, "");
}

static void print_words(const char *label, struct json_object *plan, const char *key)
{
    struct json_object *words = json_object_object_get(plan, key);
    size_t n_words = words ? json_object_array_length(words) : 0;

    if (n_words == 0)
        return;
    print_label(label);
    for (size_t i = 0; i < n_words; i++)
        printf("%s%s", i > 0 ? ", " : "",
               json_object_get_string(json_object_array_get_idx(words, i)));
    (void)putchar('\n');
}

static void print_numbers(struct json_object *plan)
{
    int64_t memory = 0, cpus = 0, timeout = 0;
    char text[QUANTITY_TEXT_SIZE];

    (void)bus_value_get_number(plan, "memory", &memory);
    (void)bus_value_get_number(plan, "cpus", &cpus);
    (void)bus_value_get_number(plan, "payload-timeout", &timeout);
    quantity_print_size((uint64_t)memory, text);
    print_line("Memory", text, bus_value_is_true(plan, "balloon") ? ", with a balloon" : "");
    (void)snprintf(text, sizeof(text), "%" PRId64, cpus);
    print_line("CPUs", text, "");
    if (timeout > 0) {
        quantity_print_span((uint64_t)timeout, text);
        print_line("Payload in", text, " at the latest");
    }
}

static const char *get_text(struct json_object *object, const char *key)
{
    const char *text = "";

    (void)bus_value_get_string(object, key, &text);
    return text;
}

static void print_files(struct json_object *plan)
{
    struct json_object *files = json_object_object_get(plan, "files");

    for (size_t i = 0; files && i < json_object_array_length(files); i++) {
        struct json_object *file = json_object_array_get_idx(files, i);
        char more[64];

        (void)snprintf(more, sizeof(more), " (%s, %s%s)", get_text(file, "use"),
                       bus_value_is_true(file, "writable") ? "read-write" : "read-only",
                       bus_value_is_true(file, "from-host") ? ", of the system" : "");
        print_line(i == 0 ? "Files" : "", get_text(file, "key"), more);
    }
}

static void print_disk(const char *label, struct json_object *disk)
{
    struct json_object *partitions = json_object_object_get(disk, "partitions");

    if (!partitions)
        print_line(label, get_text(disk, "key"),
                   bus_value_is_true(disk, "writable") ? " (read-write)" : " (read-only)");
    for (size_t i = 0; partitions && i < json_object_array_length(partitions); i++) {
        struct json_object *partition = json_object_array_get_idx(partitions, i);
        _cleanup_free_ char *key = output_dup_line(get_text(partition, "key"));
        _cleanup_free_ char *more = NULL;

        if (asprintf(&more, ": %s (%s)", key ? key : "",
                     bus_value_is_true(partition, "writable") ? "read-write" : "read-only") < 0)
            more = NULL;
        print_line(i == 0 ? label : "", get_text(partition, "label"), more ? more : "");
    }
}

static void print_plan(struct json_object *plan)
{
    struct json_object *disks = json_object_object_get(plan, "disks");
    char label[32];

    print_string("Name", plan, "name");
    print_string("VMM", plan, "vmm");
    print_string("Accelerator", plan, "accelerator");
    print_numbers(plan);
    print_string("Vsock", plan, "vsock");
    print_string("Parameters", plan, "params");
    print_files(plan);
    for (size_t i = 0; disks && i < json_object_array_length(disks); i++) {
        (void)snprintf(label, sizeof(label), "Disk %zu", i);
        print_disk(label, json_object_array_get_idx(disks, i));
    }
    print_words("Sandbox", plan, "sandbox-layers");
    print_words("Not in force", plan, "sandbox-missing");
}

int vm_validate(const Options *options, Client *client, const ConfigFiles *config, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *plan = NULL;
    _cleanup_(dbus_message_unrefp) DBusMessage *call = client_new_call(
        client, BUS_PATH, BUS_MANAGER_INTERFACE, "ValidateConfig", DBUS_TYPE_INVALID);
    _cleanup_free_ NamedFd *files = vm_create_list_files(config, error);
    const char *text = config->text;

    if (!files)
        return -ENOMEM;
    if (config->n_files > VM_CREATE_FDS_PER_MESSAGE)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "the configuration names %zu files, and at most %d can be checked with "
                         "it: 'vmctl create' checks all of them",
                         config->n_files, VM_CREATE_FDS_PER_MESSAGE);
    if (!call || !vm_create_append(call, text, files, config->n_files))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = client_call(client, TAKE_PTR(call), "a{sv}", &plan, error);
    if (r < 0)
        return r;
    if (options->json != JSON_FORMAT_OFF)
        output_json(plan, options->json);
    else if (!options->quiet)
        print_plan(plan);
    return 0;
}

int vm_validate_report(const Options *options, Client *client, const ConfigFiles *config)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (vm_validate(options, client, config, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
