/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/deadline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

static int64_t now_msec(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Deadline deadline_in_msec(int msec)
{
    return (Deadline){ .msec = now_msec() + msec };
}

int deadline_get_left_msec(Deadline deadline)
{
    int64_t left = deadline.msec - now_msec();

    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

int deadline_wait_for_fd(Deadline deadline, int fd, short events)
{
    struct pollfd entry = { .fd = fd, .events = events };

    for (;;) {
        int n = poll(&entry, 1, deadline_get_left_msec(deadline));
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}
