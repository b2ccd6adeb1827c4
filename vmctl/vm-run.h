/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a VM, as "run" and "run-app" do: makes and starts it, copies its output, waits for its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/vm-create.h"

typedef struct VmRunOptions {
    bool detach;    /* prints the VM's id and leaves it running */
    bool console;   /* copies the guest's console to standard error */
    NamedFd *files; /* beside those of the configuration; closed once the service has them */
    size_t n_files;
} VmRunOptions;

/* Runs the VM of @config, whose files are open, and closes them once the service has them. @client
 * was not attached to a loop. Returns the exit status, or a negative errno with @error set. */
int vm_run(Client *client, ConfigFiles *config, const VmRunOptions *options, Error *error);

/* Prints why it could not be run. Returns the exit status for that. */
int vm_run_report(const VmRunOptions *options, const Error *error);
