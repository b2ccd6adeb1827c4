/* SPDX-License-Identifier: Apache-2.0 */
/* The files of --console, --log and --console-in: what a VM's console and log are written to, and
 * what is typed into the console. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "vmctl/options.h"
#include "vmctl/vm-create.h"

#define RUN_STREAMS_MAX 2 /* that are written */

typedef struct RunStreams {
    const char
        *made[RUN_STREAMS_MAX]; /* paths, lent by the options, of files that were not there */
    size_t n_made;
} RunStreams;

/* Opens them, the way a shell opens what it redirects to, and adds them to @files. A FIFO is waited
 * for. @streams was zero. */
int run_streams_open(RunStreams *streams, const Options *options, NamedFds *files, Error *error);

/* Once there is a VM: the files stay. */
void run_streams_keep(RunStreams *streams);

/* Removes the files that were made, unless they are kept. */
void run_streams_deinit(RunStreams *streams);
