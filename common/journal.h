/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines with an id and fields, for the journal where that is what listens, and as plain lines
 * where not. */
#pragma once

#include <stddef.h>

typedef struct JournalField {
    const char *name; /* of log-fields.h */
    const char *value;
} JournalField;

#define JOURNAL_FIELDS_MAX 16

/* Logs @format at @priority (LOG_INFO and so on) with @message_id and @n_fields fields. */
void journal_event(int priority,
                   const char *message_id,
                   const JournalField *fields,
                   size_t n_fields,
                   const char *format,
                   ...) __attribute__((format(printf, 5, 6)));
