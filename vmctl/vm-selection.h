/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs that a command line names: by name, id, "cid:N", or a pattern of names as for fnmatch(3).
 * A verb goes on with the next one when one of several fails. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "vmctl/client.h"
#include "vmctl/options.h"

typedef struct SelectedVm {
    char *path;
    char *name; /* as it was given, or, of a pattern's, its own */
    bool failed;
} SelectedVm;

typedef struct VmSelection {
    SelectedVm *vms; /* none twice */
    size_t n_vms;
    ErrorKind failed; /* the kind of the first error */
} VmSelection;

/* Finds the VMs of the command line; without arguments all living ones. Patterns match living VMs,
 * with the option --all dead ones, too. An argument without a VM is an error, which is printed and
 * noted. Fails only when nothing can be found out at all. */
int vm_selection_init(VmSelection *selection, Client *client, const Options *options, Error *error);
void vm_selection_deinit(VmSelection *selection);

/* Prints @error, notes that it happened to @vm, which may be NULL, and clears it. */
void vm_selection_fail(VmSelection *selection, SelectedVm *vm, Error *error);

/* Whether @pattern has characters that make it one. */
bool vm_selection_is_pattern(const char *pattern);
