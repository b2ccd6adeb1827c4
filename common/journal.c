/* SPDX-License-Identifier: Apache-2.0 */
#include "common/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "common/cleanup.h"
#include "common/log.h"

#define MESSAGE_SIZE 512
#define FIELD_SIZE   512

/* Whether stderr is the journal: the variable is inherited by whoever has another one. Source:
 * systemd.exec(5), $JOURNAL_STREAM. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat status;

    return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == (dev_t)device &&
           status.st_ino == (ino_t)inode;
}

static struct iovec line(char buffer[static FIELD_SIZE], const char *name, const char *value)
{
    int n = snprintf(buffer, FIELD_SIZE, "%s=%s", name, value);

    return (struct iovec){ buffer, n < FIELD_SIZE ? (size_t)n : FIELD_SIZE - 1 };
}

void journal_event(int priority,
                   const char *message_id,
                   const JournalField *fields,
                   size_t n_fields,
                   const char *format,
                   ...)
{
    char buffers[JOURNAL_FIELDS_MAX + 3][FIELD_SIZE], message[MESSAGE_SIZE], number[16];
    struct iovec lines[JOURNAL_FIELDS_MAX + 3];
    size_t n = 0;
    va_list arguments;

    assert(n_fields <= JOURNAL_FIELDS_MAX);
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if (!is_journal()) {
        log_line(priority, "%s", message);
        return;
    }

    (void)snprintf(number, sizeof(number), "%d", priority);
    lines[n] = line(buffers[n], "MESSAGE", message);
    n++;
    lines[n] = line(buffers[n], "PRIORITY", number);
    n++;
    lines[n] = line(buffers[n], "MESSAGE_ID", message_id);
    n++;
    for (size_t i = 0; i < n_fields; i++, n++)
        lines[n] = line(buffers[n], fields[i].name, fields[i].value);
    (void)sd_journal_sendv(lines, (int)n); /* nobody else to tell */
}
