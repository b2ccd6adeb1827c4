/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a VM on the bus, its files spread over as many messages as they need. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "vmctl/client.h"

/* dbus-daemon cuts off who passes more descriptors in one message. */
#define VM_CREATE_FDS_PER_MESSAGE 16

typedef struct NamedFd {
    const char *key;
    int fd;
} NamedFd;

/* Makes a VM of @lifetime, "client" or "detached", and brings it @files, which stay the caller's.
 * When some are refused, nothing of the VM is left. The caller frees *@ret_path. */
int vm_create(Client *client,
              const char *config,
              const char *lifetime,
              const NamedFd *files,
              size_t n_files,
              char **ret_path,
              Error *error);
