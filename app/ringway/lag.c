/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port lag: who does not keep up, the guest or the switch; signals; links that flap. And marks,
 * from which that and other counters can be read.
 */
#include "answer.h"
#include "commands.h"

static void cell_ms(struct table *t, json_int_t ns)
{
	table_cell(t, "%.1f", (double)ns / 1e6);
}

/* What both directions of a port, or of a queue pair, have in common. */
struct row {
	const char *port, *queue;
	const char *receiver; /* who receives what is sent to the port */
};

static void direction_print(
	struct table *t, const struct row *row, const char *key, const json_t *stats)
{
	const json_t *direction = json_object_get(stats, key);
	bool rx = *key == 'r';

	table_cell(t, "%s", rx ? row->port : "");
	table_cell(t, "%s%s", row->queue, key);
	table_cell(t, "%s", rx ? "switch" : row->receiver);
	cell_number(t, direction, "lags");
	cell_ms(t, number_of(direction, "lag_ns"));
	cell_number(t, direction, "signals_sent");
	cell_number(t, direction, "signals_suppressed");
}

static void port_print(struct table *t, const json_t *port, bool queues)
{
	struct row row = {.port = text_of(port, "name"),
		.queue = "",
		.receiver = is_true(port, "uplink") ? "device" : "guest"};
	const json_t *list = json_object_get(port, "queues"), *queue;
	char label[32];

	direction_print(t, &row, "rx", port);
	direction_print(t, &row, "tx", port);
	row.port = "";
	row.queue = label;
	for (size_t i = 0; queues && (queue = json_array_get(list, i)); i++) {
		snprintf(label, sizeof(label), "pair %" JSON_INTEGER_FORMAT " ",
			number_of(queue, "pair"));
		direction_print(t, &row, "rx", queue);
		direction_print(t, &row, "tx", queue);
	}
}

static void flaps_print(const json_t *port)
{
	json_int_t n = number_of(port, "link_downs");

	if (n)
		printf("port %s: its link went down %" JSON_INTEGER_FORMAT
		       " time%s, and changed %" JSON_INTEGER_FORMAT " s ago\n",
			text_of(port, "name"), n, n == 1 ? "" : "s",
			number_of(port, "link_changed_s"));
}

void port_lag_print(const struct cli *cli, const json_t *ports)
{
	static const struct table_column columns[] = {{"PORT", false}, {"DIRECTION", false},
		{"BEHIND", false}, {"LAGS", true}, {"LAG MS", true}, {"SIGNALS", true},
		{"SUPPRESSED", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++)
		port_print(t, port, cli->queues);
	table_print(t, stdout);
	table_free(t);
	for (size_t i = 0; (port = json_array_get(ports, i)); i++)
		flaps_print(port);
}

json_t *mark_add(struct cli *cli)
{
	return call(cli, "mark.add", json_pack("{s:s}", "name", cli->name));
}

void mark_add_print(const struct cli *cli, const json_t *mark)
{
	(void)cli;
	printf("mark %s: port stats and port lag count from here with --since %s\n",
		text_of(mark, "name"), text_of(mark, "name"));
}

json_t *mark_list(struct cli *cli)
{
	return call_list(cli, "mark.list", NULL);
}

void mark_list_print(const struct cli *cli, const json_t *marks)
{
	static const struct table_column columns[] = {{"MARK", false}, {"AGE S", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *mark;

	(void)cli;
	for (size_t i = 0; (mark = json_array_get(marks, i)); i++) {
		table_cell(t, "%s", text_of(mark, "name"));
		cell_number(t, mark, "age_s");
	}
	table_print(t, stdout);
	table_free(t);
}

json_t *mark_del(struct cli *cli)
{
	return call(cli, "mark.del", json_pack("{s:s}", "name", cli->name));
}

void mark_del_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("mark %s: forgotten\n", cli->name);
}
