/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest payload that is a library: prints a line, and says that it is ready. */
#include <stdio.h>
#include <vm_payload.h>

int AVmPayload_main(void)
{
    printf("Hello from %s\n", AVmPayload_getApkContentsPath());
    AVmPayload_notifyPayloadReady();
    return 0;
}
