/* SPDX-License-Identifier: BSD-3-Clause */
/* sizes, vlans, top-talkers, latency: what the switch counts on request. */
#include <string.h>

#include "answer.h"
#include "commands.h"
#include "rw_text.h"

#define TALKERS_MAX 512
#define BAR_MAX     40 /* characters */

int ports_read(struct cli *cli, const char *const *words, unsigned n)
{
	return n ? words_list(cli, words, n, "ports", "PORT", "") : 0;
}

int limit_read(struct cli *cli, const char *const *words, unsigned n)
{
	uint32_t limit;

	if (!n)
		return 0;
	if (n > 1 || !rw_text_number(words[0], 1, TALKERS_MAX, &limit))
		return complain("top-talkers show wants a number from 1 to %d, not \"%s\"",
			TALKERS_MAX, words[n - 1]);
	return json_object_set_new(cli->params, "limit", json_integer(limit));
}

/* ---- start and stop ---- */

static json_t *count_start(struct cli *cli, const char *what)
{
	json_object_set_new(cli->params, "what", json_string(what));
	return call(cli, "count.start", json_incref(cli->params));
}

static json_t *count_stop(struct cli *cli, const char *what)
{
	return call(cli, "count.stop", json_pack("{s:s}", "what", what));
}

#define COUNT(what)                             \
	json_t *what##_start(struct cli *cli)   \
	{                                       \
		return count_start(cli, #what); \
	}                                       \
	json_t *what##_stop(struct cli *cli)    \
	{                                       \
		return count_stop(cli, #what);  \
	}
COUNT(sizes)
COUNT(vlans)
COUNT(talkers)
COUNT(latency)

void count_print(const struct cli *cli, const json_t *answer)
{
	const json_t *ports = json_object_get(cli->params, "ports"), *port;
	size_t i;

	if (!is_true(answer, "running")) {
		printf("%s: not counted any more\n", text_of(answer, "what"));
		return;
	}
	printf("%s: counted from now on, of ", text_of(answer, "what"));
	for (i = 0; (port = json_array_get(ports, i)); i++)
		printf("%s%s", i ? ", " : "", json_string_value(port));
	puts(i ? "" : "all ports");
}

/* Say what is not in the answer. */
static void lost_print(struct cli *cli, const char *what)
{
	json_t *list = call_list(cli, "count.list", NULL);
	const json_t *row;

	for (size_t i = 0; (row = json_array_get(list, i)); i++) {
		if (strcmp(text_of(row, "what"), what))
			continue;
		if (number_of(row, "others"))
			printf("not counted, because there are too many %s: %" JSON_INTEGER_FORMAT
			       " frames\n",
				strcmp(what, "vlans") ? "pairs of ports" : "VLANs",
				number_of(row, "others"));
		if (number_of(row, "late"))
			printf("not counted, because they had to wait for an IOMMU: "
			       "%" JSON_INTEGER_FORMAT " frames\n",
				number_of(row, "late"));
		if (number_of(row, "missed"))
			printf("missed while this was read: %" JSON_INTEGER_FORMAT " frames\n",
				number_of(row, "missed"));
	}
	json_decref(list);
}

/* ---- sizes ---- */

json_t *sizes_show(struct cli *cli)
{
	return call_list(cli, "sizes.show", NULL);
}

static void sizes_row(struct table *t, const json_t *port, const char *direction)
{
	const json_t *bins = json_object_get(port, "sizes"), *bin;

	table_cell(t, "%s", *direction == 'r' ? text_of(port, "name") : "");
	table_cell(t, "%s", direction);
	for (size_t i = 0; i < 9; i++) {
		bin = json_array_get(bins, i);
		cell_number(t, bin, direction);
	}
}

void sizes_show_print(const struct cli *cli, const json_t *ports)
{
	static const struct table_column columns[] = {{"PORT", false}, {"DIRECTION", false},
		{"-63", true}, {"64", true}, {"65-127", true}, {"128-255", true}, {"256-511", true},
		{"512-1023", true}, {"1024-1518", true}, {"1519-9216", true}, {"9217-", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	(void)cli;
	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		sizes_row(t, port, "rx");
		sizes_row(t, port, "tx");
	}
	table_print(t, stdout);
	table_free(t);
}

/* ---- VLANs ---- */

static void cell_vlan(struct table *t, const json_t *row)
{
	const json_t *vlan = json_object_get(row, "vlan");
	bool service = !strcmp(text_of(row, "tpid"), "8021ad");

	if (!json_is_integer(vlan))
		table_cell(t, "none");
	else
		table_cell(t, "%s%" JSON_INTEGER_FORMAT,
			service && json_integer_value(vlan) ? "s" : "", json_integer_value(vlan));
}

json_t *vlans_show(struct cli *cli)
{
	return call_list(cli, "vlans.show", NULL);
}

void vlans_show_print(const struct cli *cli, const json_t *rows)
{
	static const struct table_column columns[] = {{"BRIDGE", false}, {"VLAN", true},
		{"RX FRAMES", true}, {"RX BYTES", true}, {"RX DROPS", true}, {"TX FRAMES", true},
		{"TX BYTES", true}, {"TX DROPS", true}};
	static const char *const keys[] = {
		"rx_frames", "rx_bytes", "rx_drops", "tx_frames", "tx_bytes", "tx_drops"};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *row;

	for (size_t i = 0; (row = json_array_get(rows, i)); i++) {
		table_cell(t, "%s", text_of(row, "bridge"));
		cell_vlan(t, row);
		for (size_t k = 0; k < RW_ARRAY_SIZE(keys); k++)
			cell_number(t, row, keys[k]);
	}
	table_print(t, stdout);
	table_free(t);
	lost_print((struct cli *)(uintptr_t)cli, "vlans");
}

/* ---- talkers ---- */

json_t *talkers_show(struct cli *cli)
{
	return call(cli, "talkers.show", json_incref(cli->params));
}

void talkers_show_print(const struct cli *cli, const json_t *answer)
{
	static const struct table_column columns[] = {{"PORT", false}, {"SOURCE", false},
		{"PORT", false}, {"DESTINATION", false}, {"VLAN", true}, {"BYTES", true},
		{"SHARE", true}, {"FRAMES", true}, {"ERROR", true}};
	const json_t *list = json_object_get(answer, "talkers"), *row;
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	double all = (double)number_of(answer, "bytes");

	for (size_t i = 0; (row = json_array_get(list, i)); i++) {
		table_cell(t, "%s", text_of(row, "src_port"));
		table_cell(t, "%s", text_of(row, "src"));
		table_cell(t, "%s", text_of(row, "dst_port"));
		table_cell(t, "%s", text_of(row, "dst"));
		cell_vlan(t, row);
		cell_number(t, row, "bytes");
		table_cell(t, "%.1f %%", all > 0 ? 100 * (double)number_of(row, "bytes") / all : 0);
		cell_number(t, row, "frames");
		cell_number(t, row, "error");
	}
	table_print(t, stdout);
	table_free(t);
	printf("all: %" JSON_INTEGER_FORMAT " bytes\n", number_of(answer, "bytes"));
	lost_print((struct cli *)(uintptr_t)cli, "talkers");
}

/* ---- latency ---- */

static json_t *latency_ask(struct cli *cli, bool histogram)
{
	if (histogram || cli->json)
		json_object_set_new(cli->params, "histogram", json_true());
	return call_list(cli, "latency.show", json_incref(cli->params));
}

json_t *latency_show(struct cli *cli)
{
	return latency_ask(cli, false);
}

json_t *latency_histogram(struct cli *cli)
{
	return latency_ask(cli, true);
}

static void cell_us(struct table *t, const json_t *row, const char *key)
{
	table_cell(t, "%.2f", json_number_value(json_object_get(row, key)) / 1e3);
}

void latency_show_print(const struct cli *cli, const json_t *pairs)
{
	static const struct table_column columns[] = {{"FROM", false}, {"TO", false},
		{"FRAMES", true}, {"MIN US", true}, {"MEAN US", true}, {"50 %", true},
		{"90 %", true}, {"99 %", true}, {"99.9 %", true}, {"MAX US", true}};
	static const char *const keys[] = {
		"min_ns", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "max_ns"};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *row;

	for (size_t i = 0; (row = json_array_get(pairs, i)); i++) {
		table_cell(t, "%s", text_of(row, "from"));
		table_cell(t, "%s", text_of(row, "to"));
		cell_number(t, row, "frames");
		for (size_t k = 0; k < RW_ARRAY_SIZE(keys); k++)
			cell_us(t, row, keys[k]);
	}
	table_print(t, stdout);
	table_free(t);
	lost_print((struct cli *)(uintptr_t)cli, "latency");
}

/* The power of two above a bin's values, as an exponent: bins of one are a line. */
static unsigned octave_of(const json_t *bin)
{
	uint64_t most = (uint64_t)json_integer_value(json_array_get(bin, 1));
	unsigned octave = 0;

	while (octave < 63 && most >> octave)
		octave++;
	return octave;
}

static void bar_print(unsigned octave, json_int_t frames, json_int_t before, json_int_t all)
{
	static const char bar[BAR_MAX + 1] = "########################################";
	double share = (double)frames / (double)all;

	printf("  < %12.3f us  %12" JSON_INTEGER_FORMAT "  %6.2f %%  %.*s\n",
		(double)(UINT64_C(1) << octave) / 1e3, frames,
		100 * (double)(before + frames) / (double)all, (int)(share * BAR_MAX + 0.5), bar);
}

static void pair_print(const json_t *pair)
{
	const json_t *bins = json_object_get(pair, "histogram"), *bin;
	json_int_t all = number_of(pair, "frames"), sum = 0, before = 0;
	unsigned octave = 0;

	printf("%s to %s, %" JSON_INTEGER_FORMAT " frames\n", text_of(pair, "from"),
		text_of(pair, "to"), all);
	for (size_t i = 0; (bin = json_array_get(bins, i)); i++) {
		if (i && octave_of(bin) != octave) {
			bar_print(octave, sum, before, all);
			before += sum;
			sum = 0;
		}
		octave = octave_of(bin);
		sum += json_integer_value(json_array_get(bin, 2));
	}
	if (sum)
		bar_print(octave, sum, before, all);
}

void latency_histogram_print(const struct cli *cli, const json_t *pairs)
{
	const json_t *pair;

	for (size_t i = 0; (pair = json_array_get(pairs, i)); i++)
		pair_print(pair);
	lost_print((struct cli *)(uintptr_t)cli, "latency");
}
