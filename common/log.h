/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on stderr, with the "<N>" priority prefix where stderr is the journal. */
#pragma once

#include <syslog.h>

/* Lines above @priority (LOG_DEBUG and so on) are dropped; LOG_INFO at start. */
void log_set_max_level(int priority);

/* Sets the level from $VIRTUALIZATIOND_LOG_LEVEL: a name as in syslog(3) or a number. */
void log_set_max_level_from_environment(void);

void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERR, __VA_ARGS__)
