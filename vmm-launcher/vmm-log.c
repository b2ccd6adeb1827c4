/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vmm-log.h"

#include <string.h>

#include "common/log.h"
#include "common/text.h"

void vmm_log_init(VmmLog *log)
{
    *log = (VmmLog){ 0 };
    byte_ring_init(&log->ring, VMM_LOG_RING_SIZE);
}

void vmm_log_deinit(VmmLog *log)
{
    byte_ring_deinit(&log->ring);
}

void vmm_log_flush(VmmLog *log, uint64_t now_usec)
{
    char escaped[4 * VMM_LOG_LINE_MAX + 1];

    if (log->line_size == 0)
        return;
    if (now_usec - log->period_start_usec >= VMM_LOG_PERIOD_USEC) {
        if (log->n_dropped > 0)
            log_warning("vmm: %u lines were not logged", log->n_dropped);
        log->period_start_usec = now_usec;
        log->n_logged = log->n_dropped = 0;
    }
    if (log->n_logged < VMM_LOG_BURST_MAX) {
        text_escape(log->line, log->line_size, escaped, sizeof(escaped));
        log_info("vmm: %s", escaped);
        log->n_logged++;
    } else {
        log->n_dropped++;
    }
    log->line_size = 0;
}

void vmm_log_write(VmmLog *log, const char *bytes, size_t size, uint64_t now_usec)
{
    (void)byte_ring_write(&log->ring, bytes, size); /* without memory the record has no tail */
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n')
            log->line[log->line_size++] = bytes[i];
        if (bytes[i] == '\n' || log->line_size == VMM_LOG_LINE_MAX)
            vmm_log_flush(log, now_usec);
    }
}
