/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends of its payload's crash (stream "crash-report"), for the death record: the
 * first GUEST_CRASH_REPORT_MAX bytes, which say what happened where; what is behind them is
 * counted. No I/O. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/supervisor-message.h"

/* Starts as { 0 }. Has no memory before a report comes. */
typedef struct CrashReport {
    char *bytes; /* as they came */
    size_t size;
    uint64_t dropped;
    char *text; /* escaped; see crash_report_fill() */
} CrashReport;

void crash_report_deinit(CrashReport *report);

void crash_report_write(CrashReport *report, const char *bytes, size_t size);

/* Puts what has come into @record, which borrows it until crash_report_deinit(). To be called once.
 */
void crash_report_fill(CrashReport *report, DeathRecord *record);
