/* SPDX-License-Identifier: Apache-2.0 */
/* Writes and reads GUID Partition Tables in memory; knows no files.
 * Sources: UEFI Specification 2.10, section 5; the layout (where partitions may begin, 128 entries
 * of 128 bytes, 512-byte sectors) is the one Android's composite disks have. A guest whose disk has
 * sectors of 4096 bytes looks for the same table in that unit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/guid.h"

#define GPT_SECTOR_SIZE        512 /* unless said otherwise */
#define GPT_SECTOR_SIZE_MAX    4096
#define GPT_PARTITIONS_MAX     128
#define GPT_LABEL_UNITS_MAX    36                            /* UTF-16 code units */
#define GPT_LABEL_SIZE         (3 * GPT_LABEL_UNITS_MAX + 1) /* in UTF-8, with the final NUL */
#define GPT_PARTITIONS_OFFSET  20480 /* the first partition's: 4096-aligned, LBA 40 */
#define GPT_PARTITIONS_OFFSET4 24576 /* the same for sectors of 4096 bytes: LBA 6 */
#define GPT_HEAD_SIZE_MAX      GPT_PARTITIONS_OFFSET4
/* Entries and backup header, in front of them zeros up to a multiple of 4096. */
#define GPT_TAIL_SIZE 20480

/* Attributes of partitions: UEFI table 5.8 and the Discoverable Partitions Specification. */
#define GPT_ATTRIBUTE_REQUIRED    (UINT64_C(1) << 0)
#define GPT_ATTRIBUTE_NO_BLOCK_IO (UINT64_C(1) << 1)
#define GPT_ATTRIBUTE_LEGACY_BOOT (UINT64_C(1) << 2)
#define GPT_ATTRIBUTE_GROW_FS     (UINT64_C(1) << 59)
#define GPT_ATTRIBUTE_READ_ONLY   (UINT64_C(1) << 60)
#define GPT_ATTRIBUTE_NO_AUTO     (UINT64_C(1) << 63)

typedef struct GptPartition {
    char label[GPT_LABEL_SIZE]; /* valid UTF-8, at most GPT_LABEL_UNITS_MAX units in UTF-16 */
    uint64_t offset, size;      /* bytes, whole sectors, inside the disk */
    uint8_t type[GUID_SIZE];
    uint8_t guid[GUID_SIZE];
    uint64_t attributes;
} GptPartition;

typedef struct GptTable {
    uint64_t disk_size;   /* bytes, whole sectors */
    uint32_t sector_size; /* 512 or 4096 */
    uint8_t disk_guid[GUID_SIZE];
    size_t n_partitions;
    GptPartition partitions[GPT_PARTITIONS_MAX]; /* in the order of the table */
} GptTable;

/* Length of @label in UTF-16 code units, -EINVAL when it is not valid UTF-8. */
int gpt_label_count_units(const char *label);

/* Where the first partition begins, which is the size of the head: GPT_PARTITIONS_OFFSET or 4. */
size_t gpt_get_head_size(uint32_t sector_size);

/* Writes protective MBR, header and entries into @head, of which gpt_get_head_size() bytes count,
 * and entries and backup header into the end of @tail. */
void gpt_encode(const GptTable *table,
                uint8_t head[static GPT_HEAD_SIZE_MAX],
                uint8_t tail[static GPT_TAIL_SIZE]);

/* Reads the primary table from the first @head_size bytes of a disk of @disk_size bytes, whichever
 * of the two sizes its sectors have. -ENODATA when there is no GPT. ERROR_IMAGE_INVALID for one
 * that is damaged: a wrong checksum, a partition outside or on another one, an odd number of
 * entries; what gpt_encode() does not write, but others do, is taken as long as it fits @head. */
int gpt_decode(
    const uint8_t *head, size_t head_size, uint64_t disk_size, GptTable *ret_table, Error *error);

/* Whether the backup in the last @tail_size bytes of the disk is good, and the same as @table.
 * ERROR_IMAGE_INVALID says what is wrong with it. */
int gpt_check_backup(const GptTable *table, const uint8_t *tail, size_t tail_size, Error *error);
