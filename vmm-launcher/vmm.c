/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fd.h"

void vmm_command_deinit(VmmCommand *command)
{
    for (size_t i = 0; i < command->n_args; i++)
        free(command->argv[i]);
    fd_close_many(command->fds, command->n_fds);
    command->n_args = 0;
    command->n_fds = 0;
}

int vmm_command_add(VmmCommand *command, const char *format, ...)
{
    char *argument = NULL;
    va_list arguments;

    if (command->n_args == VMM_ARGS_MAX)
        return -E2BIG;

    va_start(arguments, format);
    int length = vasprintf(&argument, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -ENOMEM;

    command->argv[command->n_args++] = argument;
    command->argv[command->n_args] = NULL;
    return 0;
}

int vmm_command_take_fd(VmmCommand *command, int fd, int *ret_number)
{
    if (command->n_fds == VMM_FDS_MAX) {
        (void)fd_close(fd);
        return -E2BIG;
    }
    *ret_number = VMM_FIRST_FD + (int)command->n_fds;
    command->fds[command->n_fds++] = fd;
    return 0;
}
