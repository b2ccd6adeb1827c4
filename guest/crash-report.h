/* SPDX-License-Identifier: Apache-2.0 */
/* The text that tells of a crash, in the manner of Android's tombstones: signal, fault address,
 * registers, and what on the stack points into code, with its module. There is no unwinder: of the
 * addresses on the stack most are return addresses, in the order of the calls, and some are what
 * earlier calls left behind. Text of foreign origin is escaped. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/crash-core.h"

#define CRASH_REPORT_SIZE_MAX 32768

#define CRASH_STACK_WORDS_MAX 4096
#define CRASH_STACK_HITS_MAX  64

/* Writes at most @capacity bytes, of whole lines, into @text, which no NUL ends. Returns how many.
 * @stack are the words from the stack pointer up. */
size_t crash_report_make(const CrashCore *core,
                         pid_t pid,
                         uid_t uid,
                         const uint64_t *stack,
                         size_t n_words,
                         char *text,
                         size_t capacity);

/* The same of a process whose core says nothing. */
size_t crash_report_make_brief(pid_t pid, uid_t uid, int signal, char *text, size_t capacity);
