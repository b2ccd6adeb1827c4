/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guest/first-stage.h"

int main(void)
{
    if (getpid() != 1) {
        (void)fprintf(stderr, "first-stage is the first process of a virtual machine\n");
        return 1;
    }

    first_stage_run();
    sync();
    (void)reboot(RB_POWER_OFF);
    for (;;)
        (void)pause();
}
