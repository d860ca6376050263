/* SPDX-License-Identifier: BSD-3-Clause */
/* captures: those that run, whoever began them. */
#include "answer.h"
#include "commands.h"

json_t *captures(struct cli *cli)
{
	return call_list(cli, "capture.list", NULL);
}

void captures_print(const struct cli *cli, const json_t *list)
{
	static const struct table_column columns[] = {{"CAPTURE", true}, {"PORTS", true},
		{"WHAT", false}, {"SNAP", true}, {"SAMPLE", true}, {"FRAMES", true},
		{"LOST", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *row;

	(void)cli;
	for (size_t i = 0; (row = json_array_get(list, i)); i++) {
		cell_number(t, row, "capture");
		if (json_is_integer(json_object_get(row, "ports")))
			cell_number(t, row, "ports");
		else
			table_cell(t, "all");
		table_cell(t, "%s%s%s", is_true(row, "rx") ? "rx" : "",
			is_true(row, "tx") ? (is_true(row, "rx") ? " tx" : "tx") : "",
			is_true(row, "drops") ? " drops" : "");
		cell_number(t, row, "snap");
		cell_number(t, row, "sample");
		cell_number(t, row, "frames");
		cell_number(t, row, "lost");
	}
	table_print(t, stdout);
	table_free(t);
}
