/* SPDX-License-Identifier: Apache-2.0 */
/* Names of this architecture's system calls, for what is told of a call that ended a VM. The table
 * is made when the tree is built, from what libseccomp knows. */
#pragma once

/* NULL for a number that has no name; valid forever. */
const char *syscall_name(int number);
