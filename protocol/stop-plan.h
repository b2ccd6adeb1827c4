/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM is stopped: by which steps, and how long each may take. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STOP_TIMEOUT_USEC_DEFAULT UINT64_C(10000000)
#define STOP_TIMEOUT_USEC_MAX     UINT64_C(3600000000)

/* In the order in which they are taken. The values cross the supervisor's socket. */
typedef enum StopStep {
    STOP_STEP_NONE = 0,
    STOP_STEP_GUEST = 1, /* the guest manager is asked */
    STOP_STEP_ACPI = 2,  /* the power button is pressed */
    STOP_STEP_KILL = 3,
    STOP_STEP_MAX,
} StopStep;

typedef struct StopPlan {
    StopStep first;
    uint64_t guest_timeout_usec, acpi_timeout_usec; /* 0: that step is left out */
    bool kill;                                      /* in the end, if it still lives */
} StopPlan;

#define STOP_PLAN_DEFAULT                                \
    ((StopPlan){                                         \
        .first = STOP_STEP_GUEST,                        \
        .guest_timeout_usec = STOP_TIMEOUT_USEC_DEFAULT, \
        .acpi_timeout_usec = STOP_TIMEOUT_USEC_DEFAULT,  \
        .kill = true,                                    \
    })

/* "" for none; NULL for a value outside the table. */
const char *stop_step_to_string(StopStep step);

/* -EINVAL for an unknown name, and for that of none. */
int stop_step_from_string(const char *name, StopStep *ret_step);
