/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a VM of an app and the operating system that runs it: from then on its configuration has a
 * kernel and disks as a raw one has, and of its files those of the system and the payload's
 * metadata are the host's own. The disks are those that AVF gives Microdroid, in its order; the
 * guest finds the partitions by their labels. Source: AOSP, packages/modules/Virtualization,
 * virtualizationmanager/src/{aidl,payload}.rs. */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "virtualizationd/disk-job.h"
#include "virtualizationd/os-image.h"
#include "virtualizationd/vm-files.h"

/* How long a payload may take to report: AVF's times, and more where emulated processors, or those
 * of a host that is a VM itself, are as slow as a guest in a guest. */
#define VM_APP_TIMEOUT_MS      30000
#define VM_APP_TIMEOUT_SLOW_MS 300000

/* Fills in @config, which is an app's, what is @os's and what is left out. @os is NULL for a VM
 * that an earlier daemon started: it has its system's disk, which is none of ours any more. */
int vm_app_assemble(VmConfig *config, const OsImage *os, bool is_slow, Error *error);

/* Brings the host's own files of @config, once @files lists them. Takes the descriptors of @os. */
int vm_app_bring_files(const VmConfig *config, OsImage *os, VmFiles *files, Error *error);

/* Lends the descriptors of what the VM is booted from. */
BootFiles vm_app_get_boot_files(const VmConfig *config, const VmFiles *files);
