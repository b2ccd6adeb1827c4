/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/syscall-name.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "vmm-launcher/syscall-names.inc"

const char *syscall_name(int number)
{
    return number < 0 || (size_t)number >= ELEMENTS_OF(syscall_names) ? NULL
                                                                      : syscall_names[number];
}
