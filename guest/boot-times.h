/* SPDX-License-Identifier: Apache-2.0 */
/* When the steps of a boot were done, for the log of a guest that may be looked into. Every guest
 * takes the times, so that what is measured is what all others do. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum BootStep {
    BOOT_STEP_KERNEL,   /* first-stage runs */
    BOOT_STEP_MODULES,  /* are loaded */
    BOOT_STEP_VBMETA,   /* is verified */
    BOOT_STEP_RECORD,   /* of the boot was compared or made */
    BOOT_STEP_SECRETS,  /* of guest-manager are derived */
    BOOT_STEP_SYSTEM,   /* is mounted, over its verity device */
    BOOT_STEP_ROOT,     /* is switched to */
    BOOT_STEP_MANAGER,  /* guest-manager runs */
    BOOT_STEP_LINK,     /* to the host is there */
    BOOT_STEP_IDENTITY, /* archives have verity devices, and are recorded ones or verified */
    BOOT_STEP_ARCHIVES, /* are mounted */
    BOOT_STEP_STORAGE,  /* is mounted */
    BOOT_STEP_PAYLOAD,  /* is started next */
    BOOT_STEP_MAX,
} BootStep;

/* Of the kernel's monotonic clock, which begins when the kernel does. 0: there was no such step. */
typedef struct BootTimes {
    uint64_t usec[BOOT_STEP_MAX];
} BootTimes;

#define BOOT_TIMES_TEXT_MAX 400

void boot_times_mark(BootTimes *times, BootStep step);

/* Takes the steps of @other that @times does not have. */
void boot_times_merge(BootTimes *times, const BootTimes *other);

/* As "kernel=1234 modules=2345 ...", in microseconds. */
void boot_times_format(const BootTimes *times, char text[static BOOT_TIMES_TEXT_MAX]);
