/* SPDX-License-Identifier: Apache-2.0 */
/* A started VM's directory in the runtime directory: the sockets of its supervisor and its stub,
 * and the daemon's own files about it, which nobody else can reach. */
#pragma once

#define VM_DIRECTORY_STUB       "stub.socket"       /* whoever connects ends the VM */
#define VM_DIRECTORY_SUPERVISOR "supervisor.socket" /* SOCK_SEQPACKET; for the next daemon */
#define VM_DIRECTORY_RECORD     "record"            /* see vm-record.h */
#define VM_DIRECTORY_DEATH      "death"             /* the same; clients may not know of it yet */
#define VM_DIRECTORY_DEATH_TOLD "death-told"        /* they do */

/* @parent is a descriptor of the directory of all VMs, throughout. Negative errno on failure. */

/* Makes the directory of VM @id. The caller closes @ret_directory. */
int vm_directory_make(int parent, const char *id, int *ret_directory);
int vm_directory_open(int parent, const char *id, int *ret_directory);

/* A listening, non-blocking socket of @type at @name. The caller closes it. */
int vm_directory_listen(int directory, const char *name, int type, int *ret_socket);

/* Connects to one without blocking. -ECONNREFUSED: whoever held it is gone. */
int vm_directory_connect(int directory, const char *name, int type, int *ret_socket);

/* Renames a file that is there. */
int vm_directory_rename(int parent, const char *id, const char *from, const char *to);

/* Ends the VM past its supervisor, if there is anything to end. */
void vm_directory_end(int parent, const char *id);

/* Removes the sockets: nobody is behind them any more. */
void vm_directory_remove_sockets(int parent, const char *id);

/* Removes the directory with everything that is known to be in it. */
void vm_directory_remove(int parent, const char *id);
