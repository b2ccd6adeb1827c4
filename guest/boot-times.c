/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/boot-times.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* clang-format off */
static const char *const step_names[BOOT_STEP_MAX] = {
    [BOOT_STEP_KERNEL] = "kernel",
    [BOOT_STEP_MODULES] = "modules",
    [BOOT_STEP_VBMETA] = "vbmeta",
    [BOOT_STEP_RECORD] = "record",
    [BOOT_STEP_SECRETS] = "secrets",
    [BOOT_STEP_SYSTEM] = "system",
    [BOOT_STEP_ROOT] = "root",
    [BOOT_STEP_MANAGER] = "manager",
    [BOOT_STEP_LINK] = "link",
    [BOOT_STEP_IDENTITY] = "identity",
    [BOOT_STEP_ARCHIVES] = "archives",
    [BOOT_STEP_STORAGE] = "storage",
    [BOOT_STEP_PAYLOAD] = "payload",
};
/* clang-format on */

void boot_times_mark(BootTimes *times, BootStep step)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    times->usec[step] = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void boot_times_merge(BootTimes *times, const BootTimes *other)
{
    for (size_t i = 0; i < BOOT_STEP_MAX; i++) {
        if (times->usec[i] == 0)
            times->usec[i] = other->usec[i];
    }
}

void boot_times_format(const BootTimes *times, char text[static BOOT_TIMES_TEXT_MAX])
{
    size_t size = 0;

    text[0] = '\0';
    for (size_t i = 0; i < BOOT_STEP_MAX; i++) {
        if (times->usec[i] == 0)
            continue;
        int n = snprintf(text + size, BOOT_TIMES_TEXT_MAX - size, "%s%s=%" PRIu64,
                         size > 0 ? " " : "", step_names[i], times->usec[i]);
        assert(n > 0 && (size_t)n < BOOT_TIMES_TEXT_MAX - size);
        size += (size_t)n;
    }
}
