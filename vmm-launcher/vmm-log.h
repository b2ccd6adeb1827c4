/* SPDX-License-Identifier: Apache-2.0 */
/* What the VMM's programs write to stderr: kept for the death record, and logged line by line, each
 * with a prefix, so that nothing in it looks like a line of ours, and not more than a log can bear.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/byte-ring.h"

#define VMM_LOG_RING_SIZE   4096
#define VMM_LOG_LINE_MAX    512 /* bytes; a longer line is logged in pieces */
#define VMM_LOG_BURST_MAX   100 /* lines in VMM_LOG_PERIOD_USEC; the rest is counted */
#define VMM_LOG_PERIOD_USEC UINT64_C(10000000)

typedef struct VmmLog {
    ByteRing ring;
    char line[VMM_LOG_LINE_MAX];
    size_t line_size;
    uint64_t period_start_usec;
    unsigned n_logged;  /* in this period */
    unsigned n_dropped; /* in this period */
} VmmLog;

void vmm_log_init(VmmLog *log);
void vmm_log_deinit(VmmLog *log);

/* Takes @size bytes that came at @now_usec, of any clock that does not go back. */
void vmm_log_write(VmmLog *log, const char *bytes, size_t size, uint64_t now_usec);

/* Logs a last line that has no newline. */
void vmm_log_flush(VmmLog *log, uint64_t now_usec);
