/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of a raw configuration: what is in the partition labelled "payload". */
#include <stdlib.h>

#include "common/cleanup.h"
#include "guest/guest-manager.h"
#include "guest/kernel-command-line.h"
#include "guest/modules.h"
#include "guest/mounts.h"
#include "guest/payload-image.h"
#include "guest/payload-partition.h"
#include "guest/payload-source.h"

#define MODULE_LIST     "/etc/modules"
#define PARTITION_LABEL "payload"

#define PARTITION_TIMEOUT_MSEC 5000

struct PayloadState {
    PayloadProgram program;
    bool is_debuggable; /* by GUEST_MANAGER_DEBUG_SWITCH */
};

static PayloadState *raw_free(PayloadState *state)
{
    free(state);
    return NULL;
}
DEFINE_CLEANUP(PayloadState, raw_free);

static int raw_set_up(Error *error)
{
    int r = mounts_set_up(error);

    return r < 0 ? r : modules_load(MODULE_LIST, error);
}

static int raw_prepare(PayloadState **ret_state,
                       PayloadOptions *ret_options,
                       BootTimes *times,
                       GuestErrorCode *ret_code,
                       Error *error)
{
    _cleanup_(raw_freep) PayloadState *state = calloc(1, sizeof(*state));
    char device[UEVENT_VALUE_MAX + sizeof("/dev/")];

    (void)times;
    *ret_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG;
    if (!state)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = payload_partition_find(PARTITION_LABEL, deadline_in_msec(PARTITION_TIMEOUT_MSEC),
                                   device, sizeof(device), error);
    if (r >= 0)
        r = payload_image_prepare(device, &state->program, error);
    if (r < 0)
        return r;

    state->is_debuggable = kernel_command_line_of_boot_has(GUEST_MANAGER_DEBUG_SWITCH);
    *ret_options = (PayloadOptions){
        .path = state->program.path,
        .directory = state->program.directory,
        .privileged = state->is_debuggable,
    };
    *ret_state = TAKE_PTR(state);
    return 0;
}

static bool raw_is_debuggable(const PayloadState *state)
{
    return state->is_debuggable;
}

static PayloadService *raw_get_service(PayloadState *state)
{
    (void)state;
    return NULL;
}

static void raw_finish(PayloadState *state, GuestCall *end)
{
    (void)state;
    (void)end;
}

const PayloadSource raw_payload_source = {
    .set_up = raw_set_up,
    .prepare = raw_prepare,
    .is_debuggable = raw_is_debuggable,
    .get_service = raw_get_service,
    .finish = raw_finish,
    .free = raw_free,
};
