/* SPDX-License-Identifier: Apache-2.0 */
/* Looks up switches on the kernel command line. */
#pragma once

#include <stdbool.h>

/* True when @word is one of the words of @line. */
bool kernel_command_line_has(const char *line, const char *word);

/* The same for /proc/cmdline; false when it cannot be read. */
bool kernel_command_line_of_boot_has(const char *word);
