/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/terminal.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

void terminal_init(Terminal *terminal, int fd)
{
    *terminal = (Terminal){ .fd = fd };
}

int terminal_set_raw(Terminal *terminal, unsigned keep)
{
    struct termios settings;

    if (!terminal->is_raw && tcgetattr(terminal->fd, &terminal->before) < 0)
        return -errno;
    settings = terminal->before;
    cfmakeraw(&settings);
    if (keep & TERMINAL_KEEP_SIGNALS)
        settings.c_lflag |= ISIG;
    if (keep & TERMINAL_KEEP_OUTPUT)
        settings.c_oflag = terminal->before.c_oflag;
    if (tcsetattr(terminal->fd, TCSADRAIN, &settings) < 0)
        return -errno;
    terminal->is_raw = true;
    return 0;
}

void terminal_restore(Terminal *terminal)
{
    sigset_t blocked, before;

    if (!terminal->is_raw)
        return;
    /* A process in the background would be stopped. */
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    /* Not when all is printed: a terminal may be stopped. One that is gone needs nothing. */
    (void)tcsetattr(terminal->fd, TCSANOW, &terminal->before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    terminal->is_raw = false;
}

void terminal_get_size(const Terminal *terminal, uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct winsize size = { 0 };

    (void)ioctl(terminal->fd, TIOCGWINSZ, &size); /* stays 0 */
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
}
