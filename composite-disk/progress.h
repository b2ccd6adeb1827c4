/* SPDX-License-Identifier: Apache-2.0 */
/* How long work tells how far it is. */
#pragma once

#include <stdint.h>

typedef struct Progress {
    /* @done of @total bytes; called often, from the thread that the work was asked for on. */
    void (*report)(void *userdata, uint64_t done, uint64_t total);
    void *userdata;
} Progress;

/* @progress may be NULL. */
static inline void progress_report(const Progress *progress, uint64_t done, uint64_t total)
{
    if (progress && progress->report)
        progress->report(progress->userdata, done, total);
}
