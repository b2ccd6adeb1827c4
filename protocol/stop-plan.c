/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/stop-plan.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const char *const step_names[STOP_STEP_MAX] = {
    [STOP_STEP_NONE] = "",
    [STOP_STEP_GUEST] = "guest",
    [STOP_STEP_ACPI] = "acpi",
    [STOP_STEP_KILL] = "kill",
};

const char *stop_step_to_string(StopStep step)
{
    return (unsigned)step < STOP_STEP_MAX ? step_names[step] : NULL;
}

int stop_step_from_string(const char *name, StopStep *ret_step)
{
    for (unsigned step = STOP_STEP_GUEST; step < STOP_STEP_MAX; step++) {
        if (strcmp(step_names[step], name) == 0) {
            *ret_step = (StopStep)step;
            return 0;
        }
    }
    return -EINVAL;
}
