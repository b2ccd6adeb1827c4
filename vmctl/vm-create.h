/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a VM on the bus, its files spread over as many messages as they need. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "vmctl/client.h"
#include "vmctl/config-files.h"

/* dbus-daemon cuts off who passes more descriptors in one message. */
#define VM_CREATE_FDS_PER_MESSAGE 16

typedef struct NamedFd {
    const char *key;
    int fd;
} NamedFd;

typedef struct NamedFds {
    NamedFd *items;
    size_t n_items;
} NamedFds;

/* Takes @fd, also when that fails. @key is lent. */
int named_fds_add(NamedFds *fds, const char *key, int fd, Error *error);

/* Closes the descriptors; the keys stay. */
void named_fds_close(NamedFds *fds);
void named_fds_deinit(NamedFds *fds);

/* The open files of @config, which the caller frees; NULL with @error set when out of memory. */
NamedFd *vm_create_list_files(const ConfigFiles *config, Error *error);

/* Appends the first two arguments of CreateVm, and all of ValidateConfig. False: out of memory. */
bool vm_create_append(DBusMessage *call, const char *config, const NamedFd *files, size_t n_files);

/* Makes a VM of @lifetime, "client" or "detached", and brings it @files, which stay the caller's.
 * When some are refused, nothing of the VM is left. The caller frees *@ret_path. */
int vm_create(Client *client,
              const char *config,
              const char *lifetime,
              const NamedFd *files,
              size_t n_files,
              char **ret_path,
              Error *error);
