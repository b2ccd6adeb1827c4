/* SPDX-License-Identifier: Apache-2.0 */
/* A verb that does one thing to each VM that the command line names. */
#pragma once

#include "vmctl/client.h"
#include "vmctl/options.h"
#include "vmctl/vm-selection.h"

typedef struct VmAction {
    const char *method; /* of the VM, without arguments; or else */
    /* does it to one. NULL: nothing is to be done. */
    int (*perform)(Client *client, const SelectedVm *vm, void *userdata, Error *error);
    void *userdata;
    /* Before the first and after the last, or NULL. Errors of single VMs go to the selection. */
    int (*prepare)(Client *client, VmSelection *selection, void *userdata, Error *error);
    int (*conclude)(Client *client, VmSelection *selection, void *userdata, Error *error);
    bool forgets; /* afterwards there is no VM to show */
} VmAction;

/* Goes on after a VM that fails, whose error is printed, and at the end prints, as JSON where that
 * is wanted, the others as they are then, or were before when they are forgotten. Returns the exit
 * status of the first failure. */
int vm_action_run(const Options *options, const VmAction *action);

/* The same for a method of the VM without arguments. */
int vm_action_run_method(const Options *options, const char *method);

/* Prints the VM at @path as the verbs that make one do: its id, or an object. */
int vm_action_print_vm(const Options *options, Client *client, const char *path, Error *error);
