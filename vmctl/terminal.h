/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's terminal while a guest has it: keys go through as they are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

/* What the terminal goes on doing itself. */
typedef enum TerminalKeep {
    TERMINAL_KEEP_SIGNALS = 1 << 0, /* ^C is a signal, not a key */
    TERMINAL_KEEP_OUTPUT = 1 << 1,  /* for other programs that print on it: newlines */
} TerminalKeep;

typedef struct Terminal {
    int fd;
    bool is_raw;
    struct termios before;
} Terminal;

/* Lends @fd, a terminal. Nothing is changed yet. */
void terminal_init(Terminal *terminal, int fd);

/* Makes it raw, but for what the TerminalKeep bits @keep say. */
int terminal_set_raw(Terminal *terminal, unsigned keep);

/* As it was before; may be called twice, and from the background. */
void terminal_restore(Terminal *terminal);

/* 0 and 0 where that is unknown. */
void terminal_get_size(const Terminal *terminal, uint16_t *ret_rows, uint16_t *ret_columns);
