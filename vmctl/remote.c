/* SPDX-License-Identifier: Apache-2.0 */
/* The command line is made anew of what was read, with every word quoted for the shell there. */
#include "vmctl/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SSH "ssh"

/* Writes "'word' ", in which a quote is the four characters '\'' of the shell's. */
static void write_quoted(FILE *stream, const char *prefix, const char *name, const char *value)
{
    const char *parts[] = { prefix, name, value ? "=" : "", value ? value : "" };

    (void)fputc('\'', stream); /* here and below: fclose() tells */
    for (size_t i = 0; i < ELEMENTS_OF(parts); i++) {
        for (const char *c = parts[i]; *c; c++)
            (void)fputs(*c == '\'' ? "'\\''" : (const char[]){ *c, '\0' }, stream);
    }
    (void)fputs("' ", stream);
}

static char *dup_command(const Options *options)
{
    char *command = NULL;
    size_t size;
    FILE *stream = open_memstream(&command, &size);

    if (!stream)
        return NULL;
    (void)fputs("vmctl ", stream);
    for (size_t i = 0; i < options->n_given; i++) {
        const char *name = option_get_name(&options->given[i]);

        if (strcmp(name, "host") != 0)
            write_quoted(stream, "--", name, options->given[i].value);
    }
    write_quoted(stream, options->verb->name, "", NULL);
    (void)fputs("-- ", stream);
    for (size_t i = 0; i < options->n_arguments; i++)
        write_quoted(stream, options->arguments[i], "", NULL);
    if (fclose(stream) != 0) {
        free(command);
        return NULL;
    }
    return command;
}

int remote_execute(const Options *options, Error *error)
{
    _cleanup_free_ char *command = NULL;
    bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;

    if (options->host[0] == '\0' || options->host[0] == '-')
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--host' takes [USER@]HOST, not '%s'", options->host);
    command = dup_command(options);
    if (!command)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    /* A terminal here is one there, for tables and for consoles. */
    (void)execlp(SSH, SSH, terminal ? "-t" : "-T", "-e", "none", "--", options->host, command,
                 (char *)NULL);
    return error_set_errno(error, ERROR_FAILED, errno, "cannot execute '%s'", SSH);
}
