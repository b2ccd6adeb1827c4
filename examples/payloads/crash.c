/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that crashes: shows how the death of a payload is reported. */
#include <signal.h>
#include <stdio.h>

int main(void)
{
    (void)printf("Hello from a payload that is about to crash\n");
    (void)fflush(stdout);
    return raise(SIGSEGV);
}
