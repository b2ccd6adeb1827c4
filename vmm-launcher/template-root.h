/* SPDX-License-Identifier: Apache-2.0 */
/* The template root: copies of the files that a VM's programs run from (VMM, vsock-device, their
 * libraries, firmware), and the compiled seccomp policies, made once and used by every launch as a
 * read-only mount. It is rebuilt when one of the files it was made from has changed. */
#pragma once

#include "common/error.h"
#include "protocol/launch-spec.h"

/* Where the programs stand in the template root. */
#define TEMPLATE_VMM          VMM_QEMU_PROGRAM
#define TEMPLATE_VSOCK_DEVICE "/usr/bin/vsock-device"
/* Directories in it to mount a VM's own files on, and to be locked into. */
#define TEMPLATE_VM_FILES "/vm"
#define TEMPLATE_EMPTY    "/empty"

typedef struct TemplateOptions {
    const char *cache_dir;  /* the template's place; its directory is made when it is missing */
    const char *policy_dir; /* the administrator's seccomp policies, ROLE.json */
    const char *vmm_prefix; /* where the VMM's packages are unpacked; "" for the host's own */
} TemplateOptions;

/* Opens the template root after making it anew if need be, which takes a tenth of a second.
 * @ret_directory has the subdirectories "root" and "policy", and as long as it is open nobody
 * removes them. */
int template_root_open(const TemplateOptions *options, int *ret_directory, Error *error);
