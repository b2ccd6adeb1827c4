/* SPDX-License-Identifier: Apache-2.0 */
/* Where partition files lie on a composite disk: the region table and the GPT around them. No
 * image is read or copied, so the cost does not depend on their sizes. The layout is AVF's: head,
 * partitions from 20480 on (24576 for sectors of 4096 bytes), each on a multiple of 4096, tail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/gpt.h"

#define COMPOSITE_ALIGNMENT 4096

typedef struct CompositePartition {
    const char *label;
    uint64_t size; /* bytes of the file */
    bool writable;
    const uint8_t *type; /* GUID_SIZE bytes; NULL: Linux file system, as AVF has it */
    const uint8_t *guid; /* the same; NULL: a random one */
    uint64_t attributes; /* GPT_ATTRIBUTE_* */
} CompositePartition;

typedef enum CompositeRegionKind {
    COMPOSITE_HEAD,
    COMPOSITE_PARTITION,
    COMPOSITE_FILLER, /* zeros up to the next multiple of COMPOSITE_ALIGNMENT */
    COMPOSITE_TAIL,
} CompositeRegionKind;

typedef struct CompositeRegion {
    CompositeRegionKind kind;
    size_t partition; /* its index, for COMPOSITE_PARTITION */
    uint64_t size;    /* bytes; regions follow each other without a gap */
} CompositeRegion;

typedef struct CompositeLayout {
    uint64_t disk_size; /* bytes */
    size_t n_regions;
    CompositeRegion regions[2 * GPT_PARTITIONS_MAX + 2];
    size_t head_size;
    uint8_t head[GPT_HEAD_SIZE_MAX];
    uint8_t tail[GPT_TAIL_SIZE];
} CompositeLayout;

/* @sector_size: of the guest's disk, 512 or 4096; partitions lie on multiples of 4096 either way.
 * @random: GUID_SIZE random bytes for the disk and for each partition, in that order.
 * ERROR_INVALID_CONFIG names the label of a partition that is refused: a label twice, empty or
 * too long, an empty file, a writable one whose size is no multiple of COMPOSITE_ALIGNMENT, or
 * a disk too large for 64-bit offsets. The caller frees the layout. */
int composite_layout_new(const CompositePartition *partitions,
                         size_t n_partitions,
                         uint32_t sector_size,
                         const uint8_t *random,
                         CompositeLayout **ret_layout,
                         Error *error);

/* Makes every region whole sectors of 512 bytes, for what knows no smaller unit: a partition's
 * last, broken sector is counted to it, and reads as zeros behind the end of the file. */
void composite_layout_round_to_sectors(CompositeLayout *layout);

CompositeLayout *composite_layout_free(CompositeLayout *layout);
DEFINE_CLEANUP(CompositeLayout, composite_layout_free);
