/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a VM into a launch spec and sends it, with its files, to a launcher. */
#pragma once

#include "common/error.h"
#include "virtualizationd/vm.h"

/* Listening sockets in the VM's directory. */
typedef struct VmLaunchSockets {
    int stub;
    int supervisor;
} VmLaunchSockets;

/* @sockets are lent. Does not block: all of it fits the socket's buffer. */
int vm_launch_send(const Vm *vm, int connection, const VmLaunchSockets *sockets, Error *error);
