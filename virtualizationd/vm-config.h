/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's configuration: AVF's raw JSON form (packages/modules/Virtualization,
 * libs/vmconfig), in which a path is the key of a descriptor that the client passes, or, with
 * "payload", that of an app (vm-app-config.h). Refuses what it does not know, and names the place
 * as a JSON pointer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "protocol/launch-spec.h"
#include "virtualizationd/vm-app-config.h"

#define VM_CONFIG_NAME_MAX       64 /* as for a host name */
#define VM_CONFIG_MEMORY_DEFAULT (UINT64_C(256) << 20)

typedef struct VmConfigPartition {
    char *label;
    char *path;
    bool writable;
} VmConfigPartition;

typedef struct VmConfigDisk {
    bool writable;
    char *image; /* the whole disk; or else partitions */
    VmConfigPartition *partitions;
    size_t n_partitions;
} VmConfigDisk;

typedef enum VmCpuTopology {
    CPU_TOPOLOGY_ONE_CPU,
    CPU_TOPOLOGY_MATCH_HOST,
    CPU_TOPOLOGY_MAX,
} VmCpuTopology;

typedef struct VmConfig {
    char *name;       /* NULL: none */
    VmAppConfig *app; /* NULL: a raw configuration. Until the VM has the app's operating system
                       * (vm-app.h), what follows up to the disks is empty, and the memory may be */
    char *kernel, *initrd, *bootloader;
    char *params; /* "" for none */
    VmConfigDisk *disks;
    size_t n_disks;
    uint64_t memory_bytes;
    VmCpuTopology cpu_topology;
    bool balloon; /* the guest has a device that gives memory back */
    LaunchAccelerator accelerator;
    uint32_t payload_timeout_ms;
} VmConfig;

/* Parses @json, whose memory requests are held against @host_memory_bytes. The caller frees the
 * result. ERROR_INVALID_CONFIG, or ERROR_NOT_SUPPORTED for what AVF has and this host does not. */
int vm_config_parse(const char *json,
                    uint64_t host_memory_bytes,
                    VmConfig **ret_config,
                    Error *error);

/* ERROR_INVALID_CONFIG when that is less than the VM is to have. */
int vm_config_check_memory(const VmConfig *config, uint64_t host_memory_bytes, Error *error);

VmConfig *vm_config_free(VmConfig *config);
DEFINE_CLEANUP(VmConfig, vm_config_free);
