/* SPDX-License-Identifier: Apache-2.0 */
/* Holds what a VM of an operating system is booted from against the system's vbmeta: the names of
 * its hash descriptors are those of AVF's Microdroid. What runs then verifies the rest itself. */
#pragma once

#include "common/error.h"
#include "composite-disk/byte-source.h"

/* Of which there is one for each debug level. */
typedef enum AvbBootInitrd {
    AVB_BOOT_INITRD_NORMAL,
    AVB_BOOT_INITRD_DEBUG,
    AVB_BOOT_INITRD_MAX,
} AvbBootInitrd;

typedef struct AvbBoot {
    ByteSource vbmeta, kernel, initrd;
    AvbBootInitrd initrd_kind;
} AvbBoot;

/* Checks that vbmeta is signed, by whatever key, and that kernel and initrd are, in all their
 * bytes, what it says. ERROR_IMAGE_INVALID: the sentence begins with "vbmeta", "kernel" or
 * "initrd", whichever is not right. */
int avb_boot_verify(const AvbBoot *boot, Error *error);
