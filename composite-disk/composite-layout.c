/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/ckd.h"

static int check_label(const CompositePartition *partitions, size_t index, Error *error)
{
    const char *label = partitions[index].label;
    int n_units = gpt_label_count_units(label);

    if (n_units < 0)
        return error_set(error, ERROR_INVALID_CONFIG, "the label of partition %zu is not UTF-8",
                         index);
    if (n_units == 0)
        return error_set(error, ERROR_INVALID_CONFIG, "partition %zu has an empty label", index);
    if (n_units > GPT_LABEL_UNITS_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the partition label '%s' has %d UTF-16 units; a GPT takes at most %d",
                         label, n_units, GPT_LABEL_UNITS_MAX);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(partitions[i].label, label) == 0)
            return error_set(error, ERROR_INVALID_CONFIG,
                             "the disk has two partitions with the label '%s'", label);
    }
    return 0;
}

static int check_size(const CompositePartition *partition, Error *error)
{
    if (partition->size == 0)
        return error_set(error, ERROR_INVALID_CONFIG, "the file of partition '%s' is empty",
                         partition->label);
    if (partition->writable && partition->size % COMPOSITE_ALIGNMENT != 0)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the file of the writable partition '%s' has %" PRIu64
                         " bytes, which is no multiple of %d: extend it",
                         partition->label, partition->size, COMPOSITE_ALIGNMENT);
    return 0;
}

static void add_region(CompositeLayout *layout,
                       CompositeRegionKind kind,
                       size_t partition,
                       uint64_t size)
{
    layout->regions[layout->n_regions++] =
        (CompositeRegion){ .kind = kind, .partition = partition, .size = size };
    layout->disk_size += size;
}

/* Rounds up to a multiple of @unit, a power of two. True when that does not fit. */
static bool round_up(uint64_t size, uint64_t unit, uint64_t *ret_rounded)
{
    if (ckd_add(ret_rounded, size, unit - 1))
        return true;
    *ret_rounded &= ~(unit - 1);
    return false;
}

static int add_partition(CompositeLayout *layout,
                         const CompositePartition *partition,
                         size_t index,
                         Error *error)
{
    uint64_t in_sectors, aligned, end;

    int r = check_size(partition, error);
    if (r < 0)
        return r;
    if (round_up(partition->size, GPT_SECTOR_SIZE, &in_sectors) ||
        round_up(partition->size, COMPOSITE_ALIGNMENT, &aligned) ||
        ckd_add(&end, layout->disk_size, aligned) || end > INT64_MAX - GPT_TAIL_SIZE)
        return error_set(error, ERROR_INVALID_CONFIG, "the disk gets too large with partition '%s'",
                         partition->label);

    add_region(layout, COMPOSITE_PARTITION, index, in_sectors);
    if (aligned > in_sectors)
        add_region(layout, COMPOSITE_FILLER, 0, aligned - in_sectors);
    return 0;
}

int composite_layout_new(const CompositePartition *partitions,
                         size_t n_partitions,
                         const uint8_t *random,
                         CompositeLayout **ret_layout,
                         Error *error)
{
    GptPartition entries[GPT_PARTITIONS_MAX];
    uint8_t disk_guid[GPT_GUID_SIZE];

    if (n_partitions == 0 || n_partitions > GPT_PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "a disk takes 1 to %d partitions, this one has %zu", GPT_PARTITIONS_MAX,
                         n_partitions);

    _cleanup_(composite_layout_freep) CompositeLayout *layout = calloc(1, sizeof(*layout));
    if (!layout)
        return error_set(error, ERROR_NO_MEMORY, "no memory for a disk layout");

    memcpy(disk_guid, random, GPT_GUID_SIZE);
    gpt_guid_from_random(disk_guid);
    add_region(layout, COMPOSITE_HEAD, 0, GPT_HEAD_SIZE);
    for (size_t i = 0; i < n_partitions; i++) {
        int r = check_label(partitions, i, error);
        if (r < 0)
            return r;

        entries[i].label = partitions[i].label;
        entries[i].offset = layout->disk_size;
        r = add_partition(layout, &partitions[i], i, error);
        if (r < 0)
            return r;
        entries[i].size = layout->disk_size - entries[i].offset;
        memcpy(entries[i].guid, random + (i + 1) * GPT_GUID_SIZE, GPT_GUID_SIZE);
        gpt_guid_from_random(entries[i].guid);
    }
    add_region(layout, COMPOSITE_TAIL, 0, GPT_TAIL_SIZE);

    gpt_encode(layout->disk_size, disk_guid, entries, n_partitions, layout->head, layout->tail);
    *ret_layout = TAKE_PTR(layout);
    return 0;
}

CompositeLayout *composite_layout_free(CompositeLayout *layout)
{
    free(layout);
    return NULL;
}
