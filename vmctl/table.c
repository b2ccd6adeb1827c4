/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/table.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmctl/output.h"

#define GAP 2 /* between columns */

void table_init(Table *table, const char *const *headings, size_t n_columns)
{
    *table = (Table){ .headings = headings, .n_columns = n_columns };
}

void table_deinit(Table *table)
{
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->n_cells = 0;
}

int table_add(Table *table, const char *text)
{
    char **cells = reallocarray(table->cells, table->n_cells + 1, sizeof(char *));
    if (!cells)
        return -ENOMEM;

    table->cells = cells;
    cells[table->n_cells] = output_dup_line(text);
    if (!cells[table->n_cells])
        return -ENOMEM;
    table->n_cells++;
    return 0;
}

/* Characters, as far as a name or a number goes: UTF-8 continuation bytes take no column. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t width_of_column(const Table *table, size_t column, bool legend)
{
    size_t widest = legend ? width_of(table->headings[column]) : 0;

    for (size_t i = column; i < table->n_cells; i += table->n_columns) {
        size_t width = width_of(table->cells[i]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void print_row(const Table *table, const char *const *cells, const size_t *widths)
{
    for (size_t column = 0; column < table->n_columns; column++) {
        (void)fputs(cells[column], stdout); /* here and below: output_finish() sees errors */
        if (column + 1 < table->n_columns)
            (void)printf("%*s", (int)(widths[column] - width_of(cells[column]) + GAP), "");
    }
    (void)putchar('\n');
}

void table_print(const Table *table, bool legend)
{
    size_t widths[TABLE_COLUMNS_MAX];

    assert(table->n_columns <= TABLE_COLUMNS_MAX);
    for (size_t column = 0; column < table->n_columns; column++)
        widths[column] = width_of_column(table, column, legend);
    if (legend && table->n_cells > 0)
        print_row(table, table->headings, widths);
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
        print_row(table, (const char *const *)table->cells + i, widths);
}
