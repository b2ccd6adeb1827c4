/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that a VM's configuration names, as clients bring them, each checked for its kind
 * and access mode; an app's VM has some of the host's own, too. Also the disks that are made of
 * them.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/composite-layout.h"
#include "virtualizationd/vm-config.h"

typedef enum VmFileUse {
    VM_FILE_BOOT,   /* kernel, initrd, bootloader: read once */
    VM_FILE_DISK,   /* a disk or partition image */
    VM_FILE_OUTPUT, /* what the guest says goes there */
    VM_FILE_INPUT,
} VmFileUse;

typedef struct VmFile {
    char *key;
    VmFileUse use;
    bool writable;      /* an image that the VM writes */
    bool optional;      /* the VM starts without it, too */
    bool is_hosts;      /* no client's to bring: its key has VM_APP_HOST_PREFIX */
    bool is_there;      /* it was brought */
    int fd;             /* owned; negative until then, and once the VM has it */
    struct stat status; /* once it is there */
} VmFile;

typedef struct VmFiles {
    VmFile *files;
    size_t n_files;
} VmFiles;

/* The keys that every configuration may use. */
#define VM_FILE_CONSOLE_OUT "console-out"
#define VM_FILE_CONSOLE_IN  "console-in"
#define VM_FILE_LOG         "log"
#define VM_FILE_PAYLOAD_OUT "payload-out"

/* Lists what @config names. ERROR_INVALID_CONFIG when a key is used in two ways. */
int vm_files_init(VmFiles *files, const VmConfig *config, Error *error);
void vm_files_deinit(VmFiles *files);

/* Takes @fd for @key, whether it succeeds or not. ERROR_INVALID_FILE when no such file is named,
 * it is there already, or the descriptor is of the wrong kind or mode. */
int vm_files_take(VmFiles *files, const char *key, int fd, Error *error);

/* The same for one of the host's own, which a client cannot bring. */
int vm_files_bring(VmFiles *files, const char *key, int fd, Error *error);

/* Notes that the VM has the image @key, a file with this @status that is not open here. */
int vm_files_note(VmFiles *files, const char *key, const struct stat *status, Error *error);

/* Closes the descriptors: the VM has them. */
void vm_files_close(VmFiles *files);

/* Gives up the file of this key again. */
void vm_files_drop(VmFiles *files, const char *key);

/* Lends the file of this key; NULL when the configuration does not name it. */
VmFile *vm_files_find(const VmFiles *files, const char *key);

/* The key of a file that is needed and not there, or NULL. */
const char *vm_files_find_missing(const VmFiles *files);

/* Lends a disk image that both use and at least one writes, or NULL; @other may be @files. */
const VmFile *vm_files_find_conflict(const VmFiles *files, const VmFiles *other);

/* Whether one of the disk images is the file of this device and inode. */
bool vm_files_use_image(const VmFiles *files, const struct stat *status);

/* The layout of @disk, which has partitions, once its files are there, in whole sectors. The caller
 * frees it. */
int vm_files_lay_out(const VmFiles *files,
                     const VmConfigDisk *disk,
                     CompositeLayout **ret_layout,
                     Error *error);

/* Checks that every disk can be made of the files that are there. */
int vm_files_check_disks(const VmFiles *files, const VmConfig *config, Error *error);
