/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/composite-layout.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/ckd.h"
#include "composite-disk/gpt-type.h"

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
    uint64_t aligned, end;

    int r = check_size(partition, error);
    if (r < 0)
        return r;
    if (round_up(partition->size, COMPOSITE_ALIGNMENT, &aligned) ||
        ckd_add(&end, layout->disk_size, aligned) || end > INT64_MAX - GPT_TAIL_SIZE)
        return error_set(error, ERROR_INVALID_CONFIG, "the disk gets too large with partition '%s'",
                         partition->label);

    add_region(layout, COMPOSITE_PARTITION, index, partition->size);
    if (aligned > partition->size)
        add_region(layout, COMPOSITE_FILLER, 0, aligned - partition->size);
    return 0;
}

static void fill_entry(const CompositePartition *partition,
                       uint64_t offset,
                       uint64_t end,
                       const uint8_t *random,
                       GptPartition *entry)
{
    (void)strcpy(entry->label, partition->label); /* its length is checked */
    entry->offset = offset;
    entry->size = end - offset;
    entry->attributes = partition->attributes;
    memcpy(entry->type, partition->type ? partition->type : gpt_type_linux_generic, GUID_SIZE);
    memcpy(entry->guid, partition->guid ? partition->guid : random, GUID_SIZE);
    if (!partition->guid)
        guid_from_random(entry->guid);
}

static int check_guid(const GptTable *table, size_t index, Error *error)
{
    const GptPartition *partition = &table->partitions[index];

    for (size_t i = 0; i < index; i++) {
        if (memcmp(table->partitions[i].guid, partition->guid, GUID_SIZE) == 0)
            return error_set(error, ERROR_INVALID_CONFIG,
                             "the partitions '%s' and '%s' have the same GUID",
                             table->partitions[i].label, partition->label);
    }
    return 0;
}

int composite_layout_new(const CompositePartition *partitions,
                         size_t n_partitions,
                         uint32_t sector_size,
                         const uint8_t *random,
                         CompositeLayout **ret_layout,
                         Error *error)
{
    assert(sector_size == GPT_SECTOR_SIZE || sector_size == GPT_SECTOR_SIZE_MAX);
    if (n_partitions == 0 || n_partitions > GPT_PARTITIONS_MAX)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "a disk takes 1 to %d partitions, this one has %zu", GPT_PARTITIONS_MAX,
                         n_partitions);

    _cleanup_(composite_layout_freep) CompositeLayout *layout = calloc(1, sizeof(*layout));
    _cleanup_free_ GptTable *table = calloc(1, sizeof(*table));
    if (!layout || !table)
        return error_set(error, ERROR_NO_MEMORY, "no memory for a disk layout");

    table->sector_size = sector_size;
    table->n_partitions = n_partitions;
    memcpy(table->disk_guid, random, GUID_SIZE);
    guid_from_random(table->disk_guid);
    layout->head_size = gpt_get_head_size(sector_size);
    add_region(layout, COMPOSITE_HEAD, 0, layout->head_size);
    for (size_t i = 0; i < n_partitions; i++) {
        uint64_t offset = layout->disk_size;

        int r = check_label(partitions, i, error);
        if (r >= 0)
            r = add_partition(layout, &partitions[i], i, error);
        if (r < 0)
            return r;
        fill_entry(&partitions[i], offset, layout->disk_size, random + (i + 1) * GUID_SIZE,
                   &table->partitions[i]);
        r = check_guid(table, i, error);
        if (r < 0)
            return r;
    }
    add_region(layout, COMPOSITE_TAIL, 0, GPT_TAIL_SIZE);

    table->disk_size = layout->disk_size;
    gpt_encode(table, layout->head, layout->tail);
    *ret_layout = TAKE_PTR(layout);
    return 0;
}

void composite_layout_round_to_sectors(CompositeLayout *layout)
{
    size_t n_regions = 0;

    for (size_t i = 0; i < layout->n_regions; i++) {
        CompositeRegion region = layout->regions[i];
        uint64_t surplus = region.size % GPT_SECTOR_SIZE;

        /* Only a partition's file ends anywhere, and a filler follows it then. */
        if (region.kind == COMPOSITE_PARTITION && surplus > 0) {
            region.size += GPT_SECTOR_SIZE - surplus;
            layout->regions[i + 1].size -= GPT_SECTOR_SIZE - surplus;
        }
        if (region.size > 0)
            layout->regions[n_regions++] = region;
    }
    layout->n_regions = n_regions;
}

CompositeLayout *composite_layout_free(CompositeLayout *layout)
{
    free(layout);
    return NULL;
}
