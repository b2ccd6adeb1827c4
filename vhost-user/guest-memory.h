/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory as a vhost-user front-end shares it: a table of regions, mapped here, and the
 * checked way from a foreign address to a pointer. Only memory files that cannot shrink are taken,
 * or whoever holds the file could end this process with SIGBUS.
 * Source: vhost-user specification, "Memory region description". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* VHOST_MEMORY_BASELINE_NREGIONS; what a front-end without CONFIGURE_MEM_SLOTS may send. */
#define GUEST_MEMORY_REGIONS_MAX 8

/* As the front-end describes a region. */
typedef struct GuestMemoryLayout {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address; /* of the front-end's own mapping: ring addresses are given in it */
    uint64_t file_offset;
} GuestMemoryLayout;

typedef struct GuestMemoryRegion {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address;
    uint8_t *data; /* first byte of the region */
    void *mapping; /* what is to be unmapped; NULL for memory that is somebody else's */
    size_t mapping_size;
} GuestMemoryRegion;

typedef struct GuestMemory {
    GuestMemoryRegion regions[GUEST_MEMORY_REGIONS_MAX];
    size_t n_regions;
} GuestMemory;

/* Unmaps all regions and leaves the table empty. */
void guest_memory_deinit(GuestMemory *memory);

/* Replaces the table by @n_regions mappings of @fds, which stay the caller's. On failure the old
 * table stays. Every pointer got from the old table is invalid afterwards. */
int guest_memory_set(GuestMemory *memory,
                     const GuestMemoryLayout *regions,
                     const int *fds,
                     size_t n_regions,
                     Error *error);

/* Lends @size bytes at a guest or a front-end address; NULL unless all of them are in one region.
 * The guest may change the bytes at any time. */
uint8_t *guest_memory_find(const GuestMemory *memory, uint64_t guest_address, uint64_t size);
uint8_t *guest_memory_find_user(const GuestMemory *memory, uint64_t user_address, uint64_t size);
