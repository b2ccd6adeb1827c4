/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guest/guest-manager.h"
#include "guest/payload-source.h"

int main(void)
{
    if (getpid() != 1) {
        (void)fprintf(stderr, "guest-manager is the first process of a virtual machine\n");
        return 1;
    }

    guest_manager_run(&raw_payload_source);
    sync();
    (void)reboot(RB_POWER_OFF);
    /* A machine that cannot power off stays as it is: if PID 1 ended, the kernel would panic and
     * the host take the end of the payload for a crash. */
    for (;;)
        (void)pause();
}
