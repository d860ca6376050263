/* SPDX-License-Identifier: BSD-3-Clause */
/* rate: two readings of the counters, and what happened in a second between them. */
#include <string.h>
#include <time.h>

#include "answer.h"
#include "commands.h"

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void sleep_s(double s)
{
	struct timespec ts = {.tv_sec = (time_t)s};

	ts.tv_nsec = (long)((s - (double)ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts))
		;
}

/* The counters of ports and workers and when they came; NULL when it has complained. */
json_t *rate_reading(struct cli *cli)
{
	json_t *ports, *workers;
	double ports_at;

	ports = call_list(cli, "port.stats", NULL);
	if (!ports)
		return NULL;
	ports_at = now_s();
	workers = call_list(cli, "worker.list", NULL);
	if (!workers) {
		json_decref(ports);
		return NULL;
	}
	return json_pack("{s:f, s:o, s:f, s:o}", "ports_at", ports_at, "ports", ports, "workers_at",
		now_s(), "workers", workers);
}

/* Seconds from one reading to the next, never 0. */
static double seconds(const json_t *before, const json_t *after, const char *key)
{
	double s = json_real_value(json_object_get(after, key)) -
		json_real_value(json_object_get(before, key));

	return s > 1e-6 ? s : 1e-6;
}

/* What a counter grew by; one that began anew counts from 0. */
static double growth(json_int_t before, json_int_t after)
{
	return (double)(after >= before ? after - before : after);
}

static double growth_of(const json_t *before, const json_t *after, const char *key)
{
	return growth(number_of(before, key), number_of(after, key));
}

static json_int_t drops_of(const json_t *direction)
{
	json_t *drops = json_object_get(direction, "drops");
	json_int_t sum = 0;
	void *it;

	for (it = json_object_iter(drops); it; it = json_object_iter_next(drops, it))
		sum += json_integer_value(json_object_iter_value(it));
	return sum;
}

static json_t *direction_rate(
	const json_t *before, const json_t *after, const char *key, double seconds)
{
	const json_t *from = json_object_get(before, key), *to = json_object_get(after, key);

	return json_pack("{s:f, s:f, s:f}", "frames_per_s", growth_of(from, to, "frames") / seconds,
		"bits_per_s", 8 * growth_of(from, to, "bytes") / seconds, "drops_per_s",
		growth(drops_of(from), drops_of(to)) / seconds);
}

/* The row of `list` in which `key` is the same as in `row`; NULL: it was not there yet. */
static const json_t *row_like(const json_t *list, const json_t *row, const char *key)
{
	const json_t *other;
	size_t i;

	for (i = 0; (other = json_array_get(list, i)); i++) {
		if (json_equal(json_object_get(other, key), json_object_get(row, key)))
			break;
	}
	return other;
}

/* What was dropped, by direction and reason. */
static void reasons_add(
	json_t *list, const json_t *before, const json_t *after, const char *direction, double s)
{
	const json_t *from = json_object_get(json_object_get(before, direction), "drops");
	json_t *to = json_object_get(json_object_get(after, direction), "drops"), *value;
	const char *reason;

	json_object_foreach(to, reason, value)
	{
		double n = growth(number_of(from, reason), json_integer_value(value));

		if (n > 0)
			json_array_append_new(list,
				json_pack("{s:s, s:s, s:f}", "direction", direction, "reason",
					reason, "per_s", n / s));
	}
}

static json_t *reasons(const json_t *before, const json_t *after, double s)
{
	json_t *list = json_array();

	reasons_add(list, before, after, "rx", s);
	reasons_add(list, before, after, "tx", s);
	return list;
}

static json_t *ports_rate(const json_t *before, const json_t *after)
{
	const json_t *ports = json_object_get(after, "ports"), *row, *old;
	double s = seconds(before, after, "ports_at");
	json_t *list = json_array();

	for (size_t i = 0; (row = json_array_get(ports, i)); i++) {
		old = row_like(json_object_get(before, "ports"), row, "name");
		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o, s:o}", "name", text_of(row, "name"), "rx",
				direction_rate(old, row, "rx", s), "tx",
				direction_rate(old, row, "tx", s), "drop_reasons",
				reasons(old, row, s)));
	}
	return list;
}

static json_t *workers_rate(const json_t *before, const json_t *after)
{
	const json_t *workers = json_object_get(after, "workers"), *row, *old;
	double s = seconds(before, after, "workers_at"), busy, asleep, all, frames;
	json_t *list = json_array();

	for (size_t i = 0; (row = json_array_get(workers, i)); i++) {
		old = row_like(json_object_get(before, "workers"), row, "cpu");
		busy = growth_of(old, row, "busy_cycles");
		asleep = growth_of(old, row, "asleep_cycles");
		all = busy + growth_of(old, row, "idle_cycles") + asleep;
		frames = growth_of(old, row, "frames");
		json_array_append_new(list,
			json_pack("{s:I, s:I, s:f, s:f, s:f, s:o}", "cpu", number_of(row, "cpu"),
				"queues", number_of(row, "queues"), "frames_per_s", frames / s,
				"busy", all > 0 ? busy / all : 0, "asleep",
				all > 0 ? asleep / all : 0, "cycles_per_frame",
				frames > 0 ? json_real(busy / frames) : json_null()));
	}
	return list;
}

json_t *rate_between(const json_t *before, const json_t *after)
{
	return json_pack("{s:f, s:o, s:o}", "interval_s", seconds(before, after, "ports_at"),
		"ports", ports_rate(before, after), "workers", workers_rate(before, after));
}

json_t *rate(struct cli *cli)
{
	json_t *after, *answer;

	if (!cli->before)
		cli->before = rate_reading(cli);
	if (!cli->before)
		return NULL;
	sleep_s(cli->interval_s);
	after = rate_reading(cli);
	if (!after)
		return NULL;
	answer = rate_between(cli->before, after);
	json_decref(cli->before);
	cli->before = after;
	return answer;
}

void cell_rate(struct table *t, double n)
{
	static const char *const units[] = {"", " k", " M", " G", " T"};
	size_t unit = 0;

	for (; n >= 999.9995 && unit + 1 < RW_ARRAY_SIZE(units); unit++)
		n /= 1000;
	table_cell(t, "%.*f%s", unit ? 3 : 0, n, units[unit]);
}

void cell_rate_of(struct table *t, const json_t *object, const char *key)
{
	cell_rate(t, json_number_value(json_object_get(object, key)));
}

static void direction_row(
	struct table *t, const char *name, const json_t *port, const char *direction)
{
	const json_t *rates = json_object_get(port, direction);

	table_cell(t, "%s", name);
	table_cell(t, "%s", direction);
	cell_rate_of(t, rates, "frames_per_s");
	cell_rate_of(t, rates, "bits_per_s");
	cell_rate_of(t, rates, "drops_per_s");
}

static void ports_print(const json_t *ports)
{
	static const struct table_column columns[] = {{"PORT", false}, {"DIRECTION", false},
		{"FRAMES/S", true}, {"BITS/S", true}, {"DROPS/S", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		direction_row(t, text_of(port, "name"), port, "rx");
		direction_row(t, "", port, "tx");
	}
	table_print(t, stdout);
	table_free(t);
}

static void workers_print(const json_t *workers)
{
	static const struct table_column columns[] = {{"CPU", true}, {"QUEUES", true},
		{"FRAMES/S", true}, {"BUSY", true}, {"ASLEEP", true}, {"CYCLES/FRAME", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *worker, *cycles;

	for (size_t i = 0; (worker = json_array_get(workers, i)); i++) {
		cell_number(t, worker, "cpu");
		cell_number(t, worker, "queues");
		cell_rate_of(t, worker, "frames_per_s");
		table_cell(t, "%.1f %%", 100 * json_number_value(json_object_get(worker, "busy")));
		table_cell(
			t, "%.1f %%", 100 * json_number_value(json_object_get(worker, "asleep")));
		cycles = json_object_get(worker, "cycles_per_frame");
		if (json_is_number(cycles))
			table_cell(t, "%.0f", json_number_value(cycles));
		else
			table_cell(t, "-");
	}
	table_print(t, stdout);
	table_free(t);
}

void rate_print(const struct cli *cli, const json_t *answer)
{
	/* The first reading of several has none before it. */
	if (cli->done)
		putchar('\n');
	ports_print(json_object_get(answer, "ports"));
	putchar('\n');
	workers_print(json_object_get(answer, "workers"));
}
