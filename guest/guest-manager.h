/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the guest: readies the system, runs the payload that its source has (payload-source.h),
 * tells the host how it fares, does what the host commands, and powers off.
 *
 * What it has to say goes to the console and to the stream "log", what the payload prints to the
 * stream "payload-out". The end is reported when the host has all of the payload's output.
 *
 * The debug switch, of raw payloads: with GUEST_MANAGER_DEBUG_SWITCH on the kernel command line the
 * payload runs as root and keeps every capability, so that tests can make the kernel panic or
 * reboot. The command line is the VM owner's, who could as well boot another kernel. Such a guest
 * is debuggable, as an app VM with debug_level "full" is: the host may run commands in it
 * (exec-service.h). */
#pragma once

#include "guest/payload-source.h"

#define GUEST_MANAGER_DEBUG_SWITCH "virtualizationd.debug=1"

/* Runs the guest from beginning to end; the machine is to be powered off afterwards. */
void guest_manager_run(const PayloadSource *source);
