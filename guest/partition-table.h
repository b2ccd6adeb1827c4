/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's partitions by their labels, as they are at one moment: a payload disk has up to
 * 128, and looking each one up by itself would go through all of them every time. */
#pragma once

#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "guest/payload-partition.h"

#define PARTITION_PATH_SIZE (UEVENT_VALUE_MAX + sizeof("/dev/"))

typedef struct PartitionEntry {
    char label[UEVENT_VALUE_MAX + 1];
    char path[PARTITION_PATH_SIZE]; /* of the device */
} PartitionEntry;

typedef struct PartitionTable {
    PartitionEntry *entries; /* owned */
    size_t n_entries;
} PartitionTable;

/* Of all disks whose drivers are loaded. */
int partition_table_read(PartitionTable **ret_table, Error *error);
PartitionTable *partition_table_free(PartitionTable *table);
DEFINE_CLEANUP(PartitionTable, partition_table_free);

/* Lends the device's path; NULL when there is no such label. */
const char *partition_table_find(const PartitionTable *table, const char *label);

/* The same, and opened with @mode (O_RDONLY, O_RDWR). */
int partition_table_open(
    const PartitionTable *table, const char *label, int mode, int *ret_fd, Error *error);
