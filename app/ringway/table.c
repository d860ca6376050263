/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rw_text.h"

#define GAP      2 /* characters between columns */
#define NAME_MIN 5 /* characters of a name that was narrowed */

struct table {
	const struct table_column *columns;
	size_t ncolumns;
	size_t *widths; /* one for each column */
	char **cells;   /* row by row, without the titles */
	size_t ncells, cap;
};

/* `p`, unless there was no memory for it. */
static void *have(void *p)
{
	if (!p) {
		fprintf(stderr, "%s: no memory\n", program_invocation_short_name);
		exit(1);
	}
	return p;
}

struct table *table_new(const struct table_column *columns, size_t ncolumns)
{
	struct table *t = have(calloc(1, sizeof(*t)));

	t->columns = columns;
	t->ncolumns = ncolumns;
	t->widths = have(calloc(ncolumns, sizeof(*t->widths)));
	for (size_t i = 0; i < ncolumns; i++)
		t->widths[i] = strlen(columns[i].title);
	return t;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->ncells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->widths);
	free(t);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	size_t *width = &t->widths[t->ncells % t->ncolumns];
	char *cell;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&cell, fmt, ap);
	va_end(ap);
	have(len < 0 ? NULL : cell);
	rw_printable(cell);
	if (t->ncells == t->cap) {
		t->cap = RW_MAX(2 * t->cap, (size_t)64);
		t->cells = have(reallocarray(t->cells, t->cap, sizeof(*t->cells)));
	}
	t->cells[t->ncells++] = cell;
	*width = RW_MAX(*width, (size_t)len);
}

/* One cell of column `col`; the last one of a row is not padded on its right. */
static void print_cell(const struct table *t, size_t col, const char *text, FILE *to)
{
	int width = (int)t->widths[col];
	bool last = col + 1 == t->ncolumns;

	if (t->columns[col].number)
		fprintf(to, "%*s", width, text);
	else
		fprintf(to, "%-*s", last ? 0 : width, text);
	if (last)
		fputc('\n', to);
	else
		fprintf(to, "%*s", GAP, "");
}

void table_print(const struct table *t, FILE *to)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		print_cell(t, i, t->columns[i].title, to);
	for (size_t i = 0, col = 0; i < t->ncells; i++) {
		print_cell(t, col, t->cells[i], to);
		col = col + 1 < t->ncolumns ? col + 1 : 0;
	}
}

size_t table_width(const struct table *t)
{
	size_t width = GAP * (t->ncolumns - 1);

	for (size_t i = 0; i < t->ncolumns; i++)
		width += t->widths[i];
	return width;
}

/* Both ends of a name tell it from others: its middle goes. */
static void middle_cut(char *name, size_t max)
{
	size_t len = strlen(name), tail = max / 2;

	if (len <= max)
		return;
	memmove(name + max - tail, name + len - tail, tail + 1);
	name[max - tail - 1] = '~';
}

void table_narrow(struct table *t, size_t col, size_t width)
{
	size_t all = table_width(t), over = all > width ? all - width : 0, max = t->widths[col];

	if (!over)
		return;
	max = RW_MAX(max > over ? max - over : 0, RW_MAX(strlen(t->columns[col].title), NAME_MIN));
	for (size_t i = col; i < t->ncells; i += t->ncolumns)
		middle_cut(t->cells[i], max);
	t->widths[col] = RW_MIN(t->widths[col], max);
}
