/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest payload: says hello and where it runs, reports that it is ready, and ends. */
#include <stdio.h>
#include <sys/utsname.h>

#include <vm_payload.h>

int main(void)
{
    struct utsname name;

    if (uname(&name) < 0)
        return 1;
    (void)printf("Hello from the payload\n");
    (void)printf("Hello from %s %s on %s\n", name.sysname, name.release, name.machine);
    AVmPayload_notifyPayloadReady();
    return 0;
}
