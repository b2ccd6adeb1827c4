/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of an app VM: the kernel executes it as first-stage, and that once more as guest-manager,
 * so that nothing is left in memory of what first-stage knew. They are one program as they share
 * most of their code, which is unpacked, and read by the processor, once. */
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guest/first-stage.h"
#include "guest/guest-manager.h"
#include "guest/payload-source.h"

int main(int argc, char *argv[])
{
    if (getpid() != 1) {
        (void)fprintf(stderr, "microguest-init is the first process of a virtual machine\n");
        return 1;
    }

    if (argc > 0 && strcmp(argv[0], GUEST_MANAGER_NAME) == 0)
        guest_manager_run(&app_payload_source);
    else
        first_stage_run();
    sync();
    (void)reboot(RB_POWER_OFF);
    /* As in guest-manager's main.c: PID 1 must not end. */
    for (;;)
        (void)pause();
}
