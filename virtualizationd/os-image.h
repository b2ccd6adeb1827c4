/* SPDX-License-Identifier: Apache-2.0 */
/* An operating system that runs apps, as it is installed: a directory (os-list.h) with an os.json
 * in it, a raw configuration (vm-config.h) whose paths are relative to the directory. As AVF's
 * microdroid.json it has a kernel, its parameters, a read-only disk with "vbmeta_a" and the
 * system's partitions, and the default for the memory; the initrd is not named there, for the debug
 * level chooses it.
 *
 * What is in these files becomes a part of every app's VM: only those are taken that nobody can
 * write but root and the daemon's own user. That they belong together is boot-check.h's. */
#pragma once

#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "virtualizationd/vm-config.h"

#define OS_IMAGE_DESCRIPTION "os.json"
#define OS_IMAGE_VBMETA      "vbmeta_a"

typedef struct OsImage {
    VmConfig *config; /* the description; one disk */
    int kernel;       /* open for reading, as those below; owned */
    int initrd;       /* of the debug level */
    int *partitions;  /* of config->disks[0], in their order */
    size_t n_partitions;
    size_t vbmeta; /* which of them is OS_IMAGE_VBMETA */
} OsImage;

/* Opens the system @name, which is no path, in the first of @dirs (NULL behind the last) that has
 * it. ERROR_INVALID_CONFIG when none has; ERROR_IMAGE_INVALID names the system, the file and what
 * is wrong with it. The caller frees the result. */
int os_image_open(const char *const *dirs,
                  const char *name,
                  VmDebugLevel debug_level,
                  OsImage **ret_image,
                  Error *error);
OsImage *os_image_free(OsImage *image);
DEFINE_CLEANUP(OsImage, os_image_free);

/* The file of the initrd for this debug level, which is also how vbmeta names its hash, but for the
 * ".img". */
const char *os_image_get_initrd_name(VmDebugLevel debug_level);
