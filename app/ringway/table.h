/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A table for people: columns are as wide as their widest cell, numbers stand at the right. Cells
 * are added row by row, from the left. Without memory the program ends: it has nothing to lose.
 */
#include <stdio.h>

#include "rw_base.h"

struct table_column {
	const char *title;
	bool number; /* aligned to the right */
};

struct table;

/* `columns` must outlive the table. */
struct table *table_new(const struct table_column *columns, size_t ncolumns);
void table_free(struct table *t);

/* Add the next cell. What is not printable becomes '?'. */
void table_cell(struct table *t, const char *fmt, ...) RW_PRINTF(2, 3);
void table_print(const struct table *t, FILE *to);

/* Characters of the longest line. */
size_t table_width(const struct table *t);
/*
 * Have no line longer than `width`: cells of column `col`, which are names, lose their middles, as
 * in "web-fro~-name-1". Some characters of them always stay.
 */
void table_narrow(struct table *t, size_t col, size_t width);
