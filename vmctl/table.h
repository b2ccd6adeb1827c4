/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of text in aligned columns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 8

typedef struct Table {
    const char *const *headings; /* lent; n_columns of them */
    size_t n_columns;            /* up to TABLE_COLUMNS_MAX */
    char **cells;                /* row by row */
    size_t n_cells;
} Table;

void table_init(Table *table, const char *const *headings, size_t n_columns);
void table_deinit(Table *table);

/* Adds the next cell, its control characters escaped. -ENOMEM. */
int table_add(Table *table, const char *text);

/* Prints to stdout, with the headings if @legend. */
void table_print(const Table *table, bool legend);
