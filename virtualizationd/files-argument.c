/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/files-argument.h"

/* Takes the entry at @entries. */
static int take_entry(Vm *vm, DBusMessageIter *entries, const char **ret_key, Error *error)
{
    DBusMessageIter entry;
    int fd;

    dbus_message_iter_recurse(entries, &entry);
    dbus_message_iter_get_basic(&entry, ret_key);
    dbus_message_iter_next(&entry);
    dbus_message_iter_get_basic(&entry, &fd); /* a duplicate, ours */
    if (fd < 0)
        return error_set(error, ERROR_INVALID_FILE, "no descriptor came for the file '%s'",
                         *ret_key);
    return vm_files_take(&vm->files, *ret_key, fd, error);
}

/* Gives up the first @n_taken entries. */
static void drop_entries(Vm *vm, DBusMessageIter *dictionary, size_t n_taken)
{
    DBusMessageIter entries, entry;
    const char *key;

    dbus_message_iter_recurse(dictionary, &entries);
    for (size_t i = 0; i < n_taken; i++) {
        dbus_message_iter_recurse(&entries, &entry);
        dbus_message_iter_get_basic(&entry, &key);
        vm_files_drop(&vm->files, key);
        dbus_message_iter_next(&entries);
    }
}

int files_argument_take(Vm *vm, DBusMessageIter *dictionary, Error *error)
{
    DBusMessageIter entries;
    const char *key;
    size_t n_taken = 0;
    int r = 0;

    dbus_message_iter_recurse(dictionary, &entries);
    while (dbus_message_iter_get_arg_type(&entries) == DBUS_TYPE_DICT_ENTRY) {
        r = take_entry(vm, &entries, &key, error);
        if (r < 0)
            break;
        n_taken++;
        dbus_message_iter_next(&entries);
    }
    if (r >= 0)
        r = vm_check_files(vm, error);
    if (r >= 0)
        r = vm_charge_files(vm, error);
    if (r < 0)
        drop_entries(vm, dictionary, n_taken);
    return r;
}
