/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon asks a launcher to start: a fixed binary record in a sealed memfd, so that
 * nothing privileged parses text. Descriptors are named by their place in the list that comes
 * along. Format: magic, version, then the fields below in order, integers little-endian, strings
 * as u16 length and bytes, lists as u16 count and elements, the instance id only where there is
 * one; nothing may be left over. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define LAUNCH_SPEC_MAGIC   0x3150534cU /* "LSP1" */
#define LAUNCH_SPEC_VERSION 4

#define VMM_QEMU_PROGRAM "/usr/bin/qemu-system-x86_64" /* what the launcher copies and runs */

#define LAUNCH_SPEC_SIZE_MAX         65536
#define LAUNCH_SPEC_FDS_MAX          1000
#define LAUNCH_SPEC_ID_SIZE          32
#define LAUNCH_SPEC_INSTANCE_ID_SIZE 64
#define LAUNCH_SPEC_PARAMS_MAX       2047 /* x86 Linux takes COMMAND_LINE_SIZE - 1 */
#define LAUNCH_SPEC_DISKS_MAX        16
#define LAUNCH_SPEC_REGIONS_MAX      260 /* 128 partitions, a filler for each, head and tail */
#define LAUNCH_SPEC_CPUS_MAX         255
#define LAUNCH_SPEC_MEMORY_MIN       (1U << 20)
#define LAUNCH_SPEC_SECTOR_SIZE      512
#define LAUNCH_SPEC_CID_MIN          2048
#define LAUNCH_SPEC_CID_MAX          65535
#define LAUNCH_SPEC_TIMEOUT_MS_MAX   86400000 /* a day */

/* In place of an index: no such descriptor. */
#define LAUNCH_SPEC_NO_FD 0xffff

typedef enum LaunchAccelerator {
    ACCELERATOR_AUTO = 0, /* KVM where it can run a guest, TCG otherwise */
    ACCELERATOR_KVM = 1,
    ACCELERATOR_TCG = 2,
    ACCELERATOR_MAX,
} LaunchAccelerator;

/* What happens to a program of the VM that makes a system call outside its policy. */
typedef enum LaunchSeccompAction {
    SECCOMP_KILL = 0,  /* the VM ends */
    SECCOMP_ERRNO = 1, /* the call fails with EPERM; to find out what a guest makes a VMM do */
    SECCOMP_LOG = 2,   /* nothing but a line in the log; to write policies by */
    SECCOMP_ACTION_MAX,
} LaunchSeccompAction;

/* "kill", "errno" or "log". */
const char *launch_seccomp_action_to_string(LaunchSeccompAction action);
/* -EINVAL for any other text. */
int launch_seccomp_action_from_string(const char *text, LaunchSeccompAction *ret_action);

/* A piece of a disk: @size bytes of a file from @file_offset on, all whole sectors. The file may
 * end less than a sector before the region does; what is missing reads as zeros. */
typedef struct LaunchRegion {
    uint16_t fd_index;
    uint64_t file_offset;
    uint64_t size;
} LaunchRegion;

typedef struct LaunchDisk {
    bool writable;
    uint16_t n_regions;
    LaunchRegion *regions;
} LaunchDisk;

typedef struct LaunchSpec {
    char id[LAUNCH_SPEC_ID_SIZE + 1]; /* lower-case hex digits */
    uint32_t cid;
    uint64_t memory_bytes; /* whole MiB */
    uint32_t cpus;
    LaunchAccelerator accelerator;
    LaunchSeccompAction seccomp_action;
    bool paused;       /* no vCPU runs before a resume */
    bool balloon;      /* the guest gets a memory balloon */
    bool has_instance; /* the guest gets the secret of an instance, with its initrd */
    uint8_t instance_id[LAUNCH_SPEC_INSTANCE_ID_SIZE];
    uint32_t payload_timeout_ms; /* 0: none */
    uint32_t orphan_timeout_ms;  /* how long it lives without a daemon; 0: as long as it likes */
    uint32_t record_timeout_ms;  /* how long its death record waits for a daemon */
    char *params;                /* kernel command line, "" for none */

    /* Indexes of descriptors. Exactly one of kernel and bootloader is there; with the kernel there
     * may be an initrd, and is for an instance. */
    uint16_t kernel, initrd, bootloader;
    uint16_t console_out, console_in, log, payload_out;
    uint16_t stub_socket;       /* a listening socket: whoever connects ends the VM */
    uint16_t supervisor_socket; /* a listening SOCK_SEQPACKET socket for the next daemon */

    uint16_t n_disks;
    LaunchDisk *disks;
} LaunchSpec;

/* Releases what the spec points to. */
void launch_spec_deinit(LaunchSpec *spec);

/* Encodes @spec into a new buffer that the caller frees. -ENOBUFS above LAUNCH_SPEC_SIZE_MAX. */
int launch_spec_encode(const LaunchSpec *spec, uint8_t **ret_bytes, size_t *ret_size);

/* Decodes and checks every number against the limits above and @n_fds; -EBADMSG for anything out
 * of range, cut off or left over. The result is released with launch_spec_deinit(). */
int launch_spec_decode(const uint8_t *bytes, size_t size, size_t n_fds, LaunchSpec *ret_spec);
