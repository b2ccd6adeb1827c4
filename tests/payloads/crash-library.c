/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that is a library and crashes in a function whose address a test can ask for. */
#include <stddef.h>
#include <vm_main.h>

#pragma GCC visibility push(default)
int crash_here(const volatile int *address);
#pragma GCC visibility pop

__attribute__((noinline)) int crash_here(const volatile int *address)
{
    return *address;
}

int AVmPayload_main(void)
{
    return crash_here((const volatile int *)0x10) + 1;
}
