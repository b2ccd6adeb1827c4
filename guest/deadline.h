/* SPDX-License-Identifier: Apache-2.0 */
/* A point in time on the monotonic clock up to which something is waited for. */
#pragma once

#include <stdint.h>

typedef struct Deadline {
    int64_t msec; /* of CLOCK_MONOTONIC */
} Deadline;

Deadline deadline_in_msec(int msec);

/* Milliseconds left, 0 when it has passed: fit for poll(2). */
int deadline_get_left_msec(Deadline deadline);

/* Waits for @events on @fd. Returns -ETIMEDOUT when the deadline passes first. */
int deadline_wait_for_fd(Deadline deadline, int fd, short events);
