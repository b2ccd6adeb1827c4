/* SPDX-License-Identifier: Apache-2.0 */
/* The box that a VM's programs run in: what is prepared outside with root's rights, and the steps
 * by which the stub goes in, in this order. Each step that fails ends the start. Built like this:
 * - The root directory is the template root, read-only, with a small file system of the VM's own
 *   files on /vm; no /proc, no /sys, no device but KVM's.
 * - All namespaces but the user namespace belong to the host's user namespace: nobody in the box
 *   has power over them. The user namespace comes late, maps the VM's uid and gid to themselves,
 *   and allows no other in it.
 * - No capability in any set, no_new_privs, limits, Landlock. Seccomp is each program's own and
 *   comes last. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "common/error.h"
#include "vmm-launcher/template-root.h"

#define BOX_BINDS_MAX 3

/* The namespaces of the box, for clone3(2). */
#define BOX_NAMESPACES \
    (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

typedef struct Box {
    int template_directory; /* keeps the template there; see template_root_open() */
    int root_tree;          /* a detached, read-only mount of the template's root */
    int files;              /* a detached mount of the VM's own files */
    struct {
        const char *name;
        int tree; /* a detached mount of one file */
    } binds[BOX_BINDS_MAX];
    size_t n_binds;
    bool has_device;
} Box;

#define BOX_INIT                                                           \
    {                                                                      \
        .template_directory = -EBADF, .root_tree = -EBADF, .files = -EBADF \
    }

void box_deinit(Box *box);

/* --- outside, as root --- */

/* Prepares a box from the template root. @with_device: files may be devices. */
int box_prepare(Box *box, const TemplateOptions *options, bool with_device, Error *error);

/* Puts the file behind @fd at /vm/@name, which is a literal, for everybody to read: itself, if only
 * root can write it, or else a copy that nobody can change, of at most @size_max bytes. */
int box_add_file(Box *box, const char *name, int fd, uint64_t size_max, Error *error);

/* Puts a character device at /vm/@name that @uid alone can use. */
int box_add_device(Box *box, const char *name, dev_t device, uid_t uid, Error *error);

/* After this nothing can be added. */
int box_close_files(Box *box, Error *error);

/* Maps @uid and @gid to themselves in the user namespace that process @pid has made. */
int box_map_ids(pid_t pid, uid_t uid, gid_t gid);

/* --- inside, from a single-threaded process; 0 or a negative errno --- */

/* New session and session keyring, no environment of the host's left. */
int box_enter_session(void);

/* Changes the root directory. @ret_sysctl_fd is for box_forbid_namespaces(). */
int box_enter_root(const Box *box, int *ret_sysctl_fd);

/* A descriptor to execute the program at @path in the box from. To be opened in here: Landlock
 * knows a file by the mount that it was opened through. */
int box_open_program(const Box *box, const char *path);

/* Leaves all groups and makes the user namespace; after it somebody outside has to call
 * box_map_ids() before anything else is done. */
int box_enter_user_namespace(void);

/* Allows no further user namespace in here. */
int box_forbid_namespaces(int sysctl_fd);

/* Limits that all programs of a VM have in common. */
int box_limit(void);

/* Allows reading and executing the box's files, and the device, and nothing else. */
int box_restrict_paths(const Box *box);
