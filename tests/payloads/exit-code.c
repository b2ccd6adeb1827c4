/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that is a library: prints a line, and ends with an exit code of its own. */
#include <stdio.h>
#include <vm_main.h>

int AVmPayload_main(void)
{
    puts("called");
    return 7;
}
