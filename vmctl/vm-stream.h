/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a VM that the service hands out. They outlive the connection to it. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "vmctl/options.h"

/* A stream to @port of the guest of the VM of this name or id. */
int vm_stream_connect(
    const Options *options, const char *vm, uint32_t port, int *ret_fd, Error *error);

/* What OpenConsole and OpenLog, the @method, give for @word. */
int vm_stream_open(const Options *options,
                   const char *vm,
                   const char *method,
                   const char *word,
                   int *ret_fd,
                   Error *error);
