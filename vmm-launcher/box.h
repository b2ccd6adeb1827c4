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
    int files;              /* a detached mount of the VM's own files; negative: none */
    struct {
        const char *name;
        int tree; /* a detached mount of one file */
    } binds[BOX_BINDS_MAX];
    size_t n_binds;
    bool has_device;
    bool unprivileged; /* see box_gain_privilege() */
} Box;

#define BOX_INIT                                                           \
    {                                                                      \
        .template_directory = -EBADF, .root_tree = -EBADF, .files = -EBADF \
    }

void box_deinit(Box *box);

/* --- outside, as root --- */

/* For a launcher that is not root: makes a user namespace, and a mount namespace in it, in which it
 * has the power that the rest takes. What is missing then: a uid of the VM's own, and the way out
 * of the user's groups. The calling process has one thread. */
int box_gain_privilege(void);

/* Prepares a box from the template root. @with_device: files may be devices. */
int box_prepare(Box *box, const TemplateOptions *options, bool with_device, Error *error);

/* Prepares a box whose root directory has nothing in it. */
int box_prepare_empty(Box *box, const TemplateOptions *options, Error *error);

/* Puts the file behind @fd at /vm/@name, which is a literal, for everybody to read: itself, if only
 * root can write it, or else a copy that nobody can change, of at most @size_max bytes. */
int box_add_file(Box *box, const char *name, int fd, uint64_t size_max, Error *error);

/* Puts a file at /vm/@name that has @head, and behind it a copy of the file behind @fd, of at most
 * @size_max bytes. It is in memory only, where nobody outside the box sees it. */
int box_add_file_with_head(Box *box,
                           const char *name,
                           const void *head,
                           size_t head_size,
                           int fd,
                           uint64_t size_max,
                           Error *error);

/* Puts the character device @path at /vm/@name: for @uid alone; or as it is, where the launcher is
 * not root. */
int box_add_device(Box *box, const char *name, const char *path, uid_t uid, Error *error);

/* After this nothing can be added. */
int box_close_files(Box *box, Error *error);

/* Maps @uid and @gid to themselves in the user namespace that process @pid has made. */
int box_map_ids(pid_t pid, uid_t uid, gid_t gid);

/* --- inside --- */

/* The steps of going in, in their order. */
typedef enum BoxStep {
    BOX_SESSION,
    BOX_ROOT,
    BOX_USER_NAMESPACE,
    BOX_MAP_IDS,
    BOX_FORBID_NAMESPACES,
    BOX_LIMITS,
    BOX_DROP,
    BOX_LANDLOCK,
    BOX_STEP_MAX,
} BoxStep;

/* What the step does, as the end of a sentence that begins with "cannot". */
const char *box_step_to_string(BoxStep step);

/* Waits until somebody outside has called box_map_ids() for this process. */
typedef int (*BoxWaitForMap)(void *userdata);

/* Takes the calling process, which has one thread and is new in the namespaces of the box, into it,
 * with @uid as its uid and gid. A negative errno, and the step in @ret_step, when one fails: then
 * the process must end. */
int box_enter(
    const Box *box, uid_t uid, BoxWaitForMap wait_for_map, void *userdata, BoxStep *ret_step);

typedef struct BoxLimit {
    __rlimit_resource_t resource;
    uint64_t value; /* soft and hard */
} BoxLimit;

/* Sets the limits of the calling process. */
int box_set_limits(const BoxLimit *limits, size_t n_limits);

/* A descriptor to execute the program at @path in the box from: to be opened in there, for Landlock
 * knows a file by the mount that it was opened through. */
int box_open_program(const Box *box, const char *path);
