/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a GUID Partition Table into memory; knows no files.
 * Sources: UEFI Specification 2.10, section 5; the layout (where partitions may begin, 128 entries
 * of 128 bytes, 512-byte sectors) is the one Android's composite disks have. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define GPT_SECTOR_SIZE      512
#define GPT_PARTITIONS_MAX   128
#define GPT_LABEL_UNITS_MAX  36 /* UTF-16 code units */
#define GPT_GUID_SIZE        16
#define GPT_FIRST_USABLE_LBA 40 /* 4096-aligned; the standard's minimum is 34 */
#define GPT_HEAD_SIZE        (GPT_FIRST_USABLE_LBA * GPT_SECTOR_SIZE)
/* Entries and backup header, in front of them zeros up to a multiple of 4096. */
#define GPT_TAIL_SIZE       20480
#define GPT_TAIL_TABLE_SIZE (33 * GPT_SECTOR_SIZE)

typedef struct GptPartition {
    const char *label;     /* valid UTF-8, at most GPT_LABEL_UNITS_MAX units in UTF-16 */
    uint64_t offset, size; /* bytes, whole sectors, inside the disk */
    uint8_t guid[GPT_GUID_SIZE];
} GptPartition;

/* Length of @label in UTF-16 code units, -EINVAL when it is not valid UTF-8. */
int gpt_label_count_units(const char *label);

/* Turns 16 random bytes into a version 4 GUID as it stands on the disk. */
void gpt_guid_from_random(uint8_t guid[static GPT_GUID_SIZE]);

/* Writes protective MBR, header and entries into @head, and entries and backup header into the end
 * of @tail, for a disk of @disk_size bytes. All partitions are of the type Linux file system. */
void gpt_encode(uint64_t disk_size,
                const uint8_t disk_guid[static GPT_GUID_SIZE],
                const GptPartition *partitions,
                size_t n_partitions,
                uint8_t head[static GPT_HEAD_SIZE],
                uint8_t tail[static GPT_TAIL_SIZE]);
