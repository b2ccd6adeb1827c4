/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/crash-report.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void crash_report_deinit(CrashReport *report)
{
    free(report->bytes);
    free(report->text);
    *report = (CrashReport){ 0 };
}

void crash_report_write(CrashReport *report, const char *bytes, size_t size)
{
    size_t room = GUEST_CRASH_REPORT_MAX - report->size;

    if (!report->bytes)
        report->bytes = malloc(GUEST_CRASH_REPORT_MAX);
    if (!report->bytes)
        room = 0;
    if (room > size)
        room = size;
    if (room > 0)
        memcpy(report->bytes + report->size, bytes, room);
    report->size += room;
    report->dropped += size - room;
}

void crash_report_fill(CrashReport *report, DeathRecord *record)
{
    size_t taken = 0;

    if (report->size > 0)
        report->text = malloc(SUPERVISOR_CRASH_REPORT_MAX + 1);
    if (report->text) {
        record->crash_report_size = text_escape_head(report->bytes, report->size, report->text,
                                                     SUPERVISOR_CRASH_REPORT_MAX + 1, &taken);
        record->crash_report = report->text;
    }
    record->crash_report_dropped = report->dropped + (report->size - taken);
}
