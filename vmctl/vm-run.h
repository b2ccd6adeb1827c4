/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a VM, as "run" and "run-app" do: makes and starts it, copies its output, waits for its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/options.h"
#include "vmctl/vm-create.h"

typedef struct VmRunOptions {
    const Options *command_line; /* how to print */
    bool detach;                 /* prints the VM's id and leaves it running */
    bool forget;                 /* the VM's record, once its end is told */
    bool console;                /* copies the guest's console to standard error */
    NamedFds *files;      /* beside those of the configuration; closed once the service has them */
    const char *instance; /* of an app: where its files are, for people; NULL: it is none */
} VmRunOptions;

/* That what is printed is either the payload's or vmctl's. */
int vm_run_check_options(const Options *options, Error *error);

typedef struct VmRun VmRun;

/* Makes and starts the VM of @config, whose files are open, and closes them once the service has
 * them; nothing of the VM is left when that fails. @client was not attached to a loop. All that is
 * handed over is lent until vm_run_free(). */
int vm_run_start(Client *client,
                 ConfigFiles *config,
                 const VmRunOptions *options,
                 VmRun **ret_run,
                 Error *error);

/* Copies the VM's output and waits for its end, unless it is detached. Returns the exit status, or
 * a negative errno with @error set. */
int vm_run_wait(VmRun *run, Error *error);

VmRun *vm_run_free(VmRun *run);
DEFINE_CLEANUP(VmRun, vm_run_free);

/* Prints why it could not be run to its end. Returns the exit status for that. */
int vm_run_report(const VmRunOptions *options, const Error *error);
