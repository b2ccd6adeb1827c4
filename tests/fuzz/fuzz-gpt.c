/* SPDX-License-Identifier: Apache-2.0 */
/* Partition tables: a disk of the input's bytes. Whatever is accepted lies inside the disk, apart
 * from each other, and is read the same again from what is written of it, if there is room. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/gpt.h"
#include "tests/fuzz/fuzz.h"

static void write_again(const GptTable *table)
{
    static uint8_t head[GPT_HEAD_SIZE_MAX], tail[GPT_TAIL_SIZE];
    static GptTable again;
    size_t head_size = gpt_get_head_size(table->sector_size);

    if (table->disk_size < head_size + GPT_TAIL_SIZE)
        return;
    for (size_t i = 0; i < table->n_partitions; i++) {
        if (table->partitions[i].offset < head_size ||
            table->partitions[i].offset + table->partitions[i].size >
                table->disk_size - GPT_TAIL_SIZE)
            return;
    }
    gpt_encode(table, head, tail);
    int r = gpt_decode(head, head_size, table->disk_size, &again, NULL);
    assert(r == 0 && again.n_partitions == table->n_partitions);
    for (size_t i = 0; i < table->n_partitions; i++)
        assert(strcmp(again.partitions[i].label, table->partitions[i].label) == 0);
    r = gpt_check_backup(&again, tail, GPT_TAIL_SIZE, NULL);
    assert(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static GptTable table;
    size_t tail_size = size < GPT_TAIL_SIZE ? size : GPT_TAIL_SIZE;

    if (gpt_decode(data, size, size, &table, NULL) < 0)
        return 0;
    for (size_t i = 0; i < table.n_partitions; i++) {
        const GptPartition *partition = &table.partitions[i];

        assert(partition->size > 0 && partition->offset + partition->size <= size);
        assert(gpt_label_count_units(partition->label) <= GPT_LABEL_UNITS_MAX);
    }
    (void)gpt_check_backup(&table, data + size - tail_size, tail_size, NULL);
    write_again(&table);
    return 0;
}
