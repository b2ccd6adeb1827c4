/* SPDX-License-Identifier: Apache-2.0 */
/* What first-stage hands to guest-manager when it executes it: through a pipe, so that it is in no
 * file, argument or environment, and gone once it is read. */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "guest/boot-times.h"
#include "guest/dice.h"

/* The descriptor that guest-manager finds the pipe at. */
#define BOOT_HANDOVER_FD 3

typedef struct BootHandover {
    DiceSecrets secrets; /* guest-manager's own */
    DiceMode mode;
    bool is_new_instance;
    BootTimes times; /* so far */
} BootHandover;

/* Puts it into a new pipe at BOOT_HANDOVER_FD, which stays open over exec. */
int boot_handover_send(const BootHandover *handover, Error *error);

/* Takes it from there and closes the pipe. */
int boot_handover_receive(BootHandover *ret_handover, Error *error);
