/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-create.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-argument.h"
#include "vmctl/bus-value.h"

int named_fds_add(NamedFds *fds, const char *key, int fd, Error *error)
{
    NamedFd *items = reallocarray(fds->items, fds->n_items + 1, sizeof(NamedFd));

    if (!items) {
        (void)fd_close(fd);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    fds->items = items;
    items[fds->n_items++] = (NamedFd){ .key = key, .fd = fd };
    return 0;
}

void named_fds_close(NamedFds *fds)
{
    for (size_t i = 0; i < fds->n_items; i++)
        fds->items[i].fd = fd_close(fds->items[i].fd);
}

void named_fds_deinit(NamedFds *fds)
{
    named_fds_close(fds);
    free(fds->items);
    *fds = (NamedFds){ 0 };
}

static bool append_files(DBusMessageIter *arguments, const NamedFd *files, size_t n_files)
{
    DBusMessageIter dictionary, entry;

    /* A container that is left open when memory runs out goes with the message. */
    if (!dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "{sh}", &dictionary))
        return false;
    for (size_t i = 0; i < n_files; i++) {
        if (!dbus_message_iter_open_container(&dictionary, DBUS_TYPE_DICT_ENTRY, NULL, &entry) ||
            !dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &files[i].key) ||
            !dbus_message_iter_append_basic(&entry, DBUS_TYPE_UNIX_FD, &files[i].fd) ||
            !dbus_message_iter_close_container(&dictionary, &entry))
            return false;
    }
    return dbus_message_iter_close_container(arguments, &dictionary);
}

static bool append_options(DBusMessageIter *arguments, const char *lifetime)
{
    DBusMessageIter dictionary;

    return dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "{sv}", &dictionary) &&
           bus_argument_add_string(&dictionary, "lifetime", lifetime) &&
           dbus_message_iter_close_container(arguments, &dictionary);
}

bool vm_create_append(DBusMessage *call, const char *config, const NamedFd *files, size_t n_files)
{
    DBusMessageIter arguments;

    dbus_message_iter_init_append(call, &arguments);
    return dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, &config) &&
           append_files(&arguments, files, n_files);
}

static int call_create(Client *client,
                       const char *config,
                       const char *lifetime,
                       const NamedFd *files,
                       size_t n_files,
                       char **ret_path,
                       Error *error)
{
    _cleanup_(json_object_putp) struct json_object *path = NULL;
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "CreateVm", DBUS_TYPE_INVALID);
    DBusMessageIter arguments;

    if (!call || !vm_create_append(call, config, files, n_files))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    dbus_message_iter_init_append(call, &arguments); /* behind those */
    if (!append_options(&arguments, lifetime))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = client_call(client, TAKE_PTR(call), "o", &path, error);
    if (r < 0)
        return r;
    *ret_path = strdup(json_object_get_string(path));
    return *ret_path ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}

static int call_add_files(
    Client *client, const char *path, const NamedFd *files, size_t n_files, Error *error)
{
    _cleanup_(dbus_message_unrefp) DBusMessage *call =
        client_new_call(client, path, BUS_VM_INTERFACE, "AddFiles", DBUS_TYPE_INVALID);
    DBusMessageIter arguments;

    if (call)
        dbus_message_iter_init_append(call, &arguments);
    if (!call || !append_files(&arguments, files, n_files))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return client_call(client, TAKE_PTR(call), "", NULL, error);
}

static size_t size_of_batch(size_t n_files)
{
    return n_files < VM_CREATE_FDS_PER_MESSAGE ? n_files : VM_CREATE_FDS_PER_MESSAGE;
}

NamedFd *vm_create_list_files(const ConfigFiles *config, Error *error)
{
    NamedFd *files = calloc(config->n_files + 1, sizeof(NamedFd));

    if (!files) {
        (void)error_set(error, ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < config->n_files; i++)
        files[i] = (NamedFd){ .key = config->files[i].path, .fd = config->files[i].fd };
    return files;
}

int vm_create(Client *client,
              const char *config,
              const char *lifetime,
              const NamedFd *files,
              size_t n_files,
              char **ret_path,
              Error *error)
{
    _cleanup_free_ char *path = NULL;
    size_t n_sent = size_of_batch(n_files);

    int r = call_create(client, config, lifetime, files, n_sent, &path, error);
    while (r >= 0 && n_sent < n_files) {
        size_t n = size_of_batch(n_files - n_sent);

        r = call_add_files(client, path, files + n_sent, n, error);
        n_sent += n;
    }
    if (r < 0) {
        if (path) /* @error has the cause already */
            (void)client_call_vm(client, path, "Kill", "", NULL, NULL);
        return r;
    }
    *ret_path = TAKE_PTR(path);
    return 0;
}
