/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/exit-status.h"

#include <assert.h>

#include "vmctl/bus-value.h"

#define EXIT_CODE_MAX      255
#define SIGNAL_MAX         64 /* SIGRTMAX */
#define SIGNAL_STATUS_BASE 128

static const ExitStatus status_table[ERROR_KIND_MAX] = {
    [ERROR_NONE] = EXIT_STATUS_OK,
    [ERROR_FAILED] = EXIT_STATUS_FAILED,
    [ERROR_INVALID_ARGUMENT] = EXIT_STATUS_USAGE,
    [ERROR_NOT_SUPPORTED] = EXIT_STATUS_FAILED,
    [ERROR_ACCESS_DENIED] = EXIT_STATUS_ACCESS_DENIED,
    [ERROR_AUTHORIZATION_REQUIRED] = EXIT_STATUS_ACCESS_DENIED,
    [ERROR_LIMITS_EXCEEDED] = EXIT_STATUS_LIMIT,
    [ERROR_NO_MEMORY] = EXIT_STATUS_FAILED,
    [ERROR_NO_SUCH_VM] = EXIT_STATUS_NO_SUCH_VM,
    [ERROR_NO_SUCH_INSTANCE] = EXIT_STATUS_NO_SUCH_VM,
    [ERROR_VM_EXISTS] = EXIT_STATUS_BUSY,
    [ERROR_INVALID_STATE] = EXIT_STATUS_WRONG_STATE,
    [ERROR_INVALID_CONFIG] = EXIT_STATUS_FAILED,
    [ERROR_INVALID_FILE] = EXIT_STATUS_FAILED,
    [ERROR_IMAGE_INVALID] = EXIT_STATUS_FAILED,
    [ERROR_IMAGE_BUSY] = EXIT_STATUS_BUSY,
    [ERROR_START_FAILED] = EXIT_STATUS_FAILED,
    [ERROR_CONNECTION_REFUSED] = EXIT_STATUS_FAILED,
    [ERROR_TIMED_OUT] = EXIT_STATUS_TIMED_OUT,
    [ERROR_UNAVAILABLE] = EXIT_STATUS_UNREACHABLE,
};

ExitStatus exit_status_from_error(ErrorKind kind)
{
    assert(kind < ERROR_KIND_MAX);
    return status_table[kind];
}

ExitStatus exit_status_of_run_from_error(ErrorKind kind)
{
    return kind == ERROR_UNAVAILABLE ? EXIT_STATUS_UNREACHABLE : EXIT_STATUS_RUN_FAILED;
}

int exit_status_from_death_record(struct json_object *record)
{
    int64_t number;

    /* A guest may report an exit code beside the signal: the signal says more. */
    if (bus_value_get_number(record, "payload-signal", &number) && number > 0 &&
        number <= SIGNAL_MAX)
        return SIGNAL_STATUS_BASE + (int)number;
    if (bus_value_get_number(record, "payload-exit-code", &number) && number >= 0 &&
        number <= EXIT_CODE_MAX)
        return (int)number;
    return EXIT_STATUS_RUN_FAILED;
}
