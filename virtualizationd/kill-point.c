/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/kill-point.h"

#include <stdint.h>
#include <unistd.h>

#include "common/text.h"

/* Of a program of one thread that is only there for tests. */
static uint64_t wanted_point;

bool kill_point_take_option(int option, const char *value)
{
    return option == KILL_POINT_OPTION &&
           text_parse_u64(value, KILL_POINT_MAX - 1, &wanted_point) >= 0;
}

void kill_point(KillPoint point)
{
    /* The policy allows no kill(2). To everybody else this is the same. */
    if (point == wanted_point)
        _exit(KILL_POINT_STATUS);
}
