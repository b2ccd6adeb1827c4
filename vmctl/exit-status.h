/* SPDX-License-Identifier: Apache-2.0 */
/* What vmctl exits with; vmctl(1) documents the numbers. */
#pragma once

#include <json-c/json.h>

#include "common/error.h"

typedef enum ExitStatus {
    EXIT_STATUS_OK = 0,
    EXIT_STATUS_FAILED = 1,
    EXIT_STATUS_USAGE = 2,
    EXIT_STATUS_WRONG_STATE = 3, /* as systemctl is-active */
    EXIT_STATUS_NO_SUCH_VM = 4,
    EXIT_STATUS_ACCESS_DENIED = 5,
    EXIT_STATUS_BUSY = 6,
    EXIT_STATUS_TIMED_OUT = 7,
    EXIT_STATUS_LIMIT = 8,
    EXIT_STATUS_UNREACHABLE = 69, /* EX_UNAVAILABLE of sysexits.h */
    EXIT_STATUS_RUN_FAILED = 125, /* "run", whose other numbers are the payload's; as env(1) */
} ExitStatus;

ExitStatus exit_status_from_error(ErrorKind kind);

/* The same for "run", which leaves the numbers below 125 to the payload. */
ExitStatus exit_status_of_run_from_error(ErrorKind kind);

/* What "run" exits with after its VM left this death record: the payload's exit code, 128 and the
 * number of the signal that killed it, or EXIT_STATUS_RUN_FAILED when the record says neither. */
int exit_status_from_death_record(struct json_object *record);
