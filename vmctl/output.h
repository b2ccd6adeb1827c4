/* SPDX-License-Identifier: Apache-2.0 */
/* What vmctl prints: diagnostics on stderr, data on stdout, as JSON or text. Foreign text cannot
 * drive the terminal. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "vmctl/options.h"

/* A copy of @text, which the caller frees, or NULL when out of memory. Control characters are
 * escaped, but for newlines. Text without any stays as it is, its backslashes too: the service has
 * escaped what it hands on. */
char *output_dup_escaped(const char *text);

/* The same with newlines as spaces. */
char *output_dup_line(const char *text);

#define OUTPUT_TIME_SIZE 32

/* A time of CLOCK_REALTIME as people read it, here. */
void output_format_time(int64_t time_usec, char text[static OUTPUT_TIME_SIZE]);

/* The same as output_dup_escaped() for a raw log: its line ends are newlines then. */
char *output_dup_log(const char *text);

/* Prints "vmctl: ..." as one line on stderr. */
void output_diagnostic(const char *format, ...) __attribute__((format(printf, 1, 2)));

void output_error(const Error *error);

/* Whether a table has headings and a count: on a terminal, unless the options say no. */
bool output_has_legend(const Options *options);

/* Prints @value and a newline on stdout. */
void output_json(struct json_object *value, JsonFormat format);

/* Flushes stdout. ERROR_FAILED when anything printed since the start is lost. */
int output_finish(Error *error);
