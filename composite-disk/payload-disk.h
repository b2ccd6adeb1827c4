/* SPDX-License-Identifier: Apache-2.0 */
/* The partitions of a payload disk: their labels, which a guest finds them by, and their order.
 * Format code without I/O. Source: AOSP, packages/modules/Virtualization,
 * virtualizationmanager/src/payload.rs. */
#pragma once

#include <stddef.h>

#define PAYLOAD_LABEL_SIZE 24 /* with the NUL */

typedef enum PayloadPartitionRole {
    PAYLOAD_METADATA,
    PAYLOAD_APEX, /* this and the extra ones are numbered from 0 on */
    PAYLOAD_APK,
    PAYLOAD_APK_IDSIG,
    PAYLOAD_EXTRA_APK,
    PAYLOAD_EXTRA_IDSIG,
    PAYLOAD_PARTITION_ROLE_MAX,
} PayloadPartitionRole;

typedef struct PayloadPartition {
    PayloadPartitionRole role;
    size_t index; /* 0 where there is only one */
} PayloadPartition;

/* How many partitions there are. */
size_t payload_disk_count(size_t n_apexes, size_t n_extra_apks);

/* The one at @position, which is below that number. */
PayloadPartition payload_disk_get_partition(size_t n_apexes, size_t n_extra_apks, size_t position);

void payload_partition_make_label(PayloadPartition partition,
                                  char label[static PAYLOAD_LABEL_SIZE]);

/* -EINVAL for a label that is none of them. A number is read as a number: sorted as texts, the
 * tenth extra APK would come before the third. */
int payload_partition_from_label(const char *label, PayloadPartition *ret_partition);
