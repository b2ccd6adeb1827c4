/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/kill-point.h"

#include <signal.h>
#include <unistd.h>

/* The state of a program of one thread that is only there for tests. */
static unsigned long wanted_point, passes_left;

void kill_point_set(unsigned long point, unsigned long nth)
{
    wanted_point = point;
    passes_left = nth;
}

void kill_point(KillPoint point)
{
    if (point == wanted_point && passes_left > 0 && --passes_left == 0)
        (void)kill(getpid(), SIGKILL);
}
