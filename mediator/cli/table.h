/* SPDX-License-Identifier: MIT */
/*
 * A text table for a terminal: columns as wide as what they hold, cut where a column's bound says,
 * so that the caller decides how wide the whole can get. Cells are single-byte text.
 */
#ifndef ALIQUOT_CLI_TABLE_H
#define ALIQUOT_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_CELL_MAX 64
#define TABLE_COLUMNS_MAX 12

struct table_column {
    const char *title;
    unsigned max_width; /* longer cells are cut and end in '~' */
    bool right;         /* numbers */
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t n_columns;
    char (*cells)[TABLE_CELL_MAX]; /* owned, row by row */
    size_t n_cells;
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns);
void table_finish(struct table *t);
/* The next cell of the current row; the text is copied. -ENOMEM or 0. */
int table_add(struct table *t, const char *text);
void table_print(const struct table *t, FILE *out);

#endif
