/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/kill-point.h"

#include <stdio.h>
#include <unistd.h>

/* Of a program of one thread that is only there for tests. */
static unsigned wanted_point, passes_left;

bool kill_point_take_option(int option, const char *value)
{
    return option == KILL_POINT_OPTION &&
           sscanf(value, "%u:%u", &wanted_point, &passes_left) == 2 &&
           wanted_point < KILL_POINT_MAX;
}

void kill_point(KillPoint point)
{
    /* The policy allows no kill(2). To everybody else this is the same. */
    if (point == wanted_point && --passes_left == 0)
        _exit(KILL_POINT_STATUS);
}
