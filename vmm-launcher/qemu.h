/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU back end, in two files: qemu-command.c builds the argument vector, qemu-control.c speaks
 * QMP. Source: QEMU 7.2, docs/interop/qmp-spec.txt and qapi/. */
#pragma once

#include "vmm-launcher/vmm.h"

int qemu_build_command(VmmMachine *machine, VmmCommand *command, Error *error);

/* VmmBackend.get_overhead_bytes. */
uint64_t qemu_get_overhead_bytes(const LaunchSpec *spec, bool use_kvm);
