/* SPDX-License-Identifier: BSD-3-Clause */
/* Samples of what is counted on request. While it is not, the reading lacks it. */
#include <string.h>

#include "metrics_out.h"
#include "rw_base.h"

/*
 * The upper ends of a histogram's buckets are the powers of two from 128 ns to 134 ms, always the
 * same ones. The switch's bins never cross one.
 */
#define BUCKET_FIRST 7
#define BUCKET_LAST  27

static const char *const directions[] = {"rx", "tx"};

void metric_emit_counted(struct metric_out *o, const json_t *row)
{
	metric_sample(
		o, json_object_get(row, o->family->key), "what", text_of(row, "what"), METRIC_END);
}

void metric_emit_uncounted(struct metric_out *o, const json_t *row)
{
	static const struct {
		const char *what, *why;
	} losses[] = {{"vlans", "others"}, {"latency", "others"}, {"latency", "late"},
		{"talkers", "missed"}};
	const char *what = text_of(row, "what");

	for (size_t i = 0; i < RW_ARRAY_SIZE(losses); i++) {
		if (!strcmp(losses[i].what, what) && json_is_true(json_object_get(row, "running")))
			metric_sample(o, json_object_get(row, losses[i].why), "what", what, "why",
				losses[i].why, METRIC_END);
	}
}

/* ---- sizes: rows of sizes.show ---- */

/* "64", "65-127"; the last bin has no end: "9217-". */
static void octets_text(const json_t *bin, char *out, size_t cap)
{
	json_int_t least = json_integer_value(json_object_get(bin, "least"));
	const json_t *most = json_object_get(bin, "most");
	int n = snprintf(out, cap, "%" JSON_INTEGER_FORMAT, least);

	if (!json_is_integer(most))
		snprintf(out + n, cap - (size_t)n, "-");
	else if (json_integer_value(most) != least)
		snprintf(out + n, cap - (size_t)n, "-%" JSON_INTEGER_FORMAT,
			json_integer_value(most));
}

void metric_emit_sizes(struct metric_out *o, const json_t *row)
{
	const json_t *bins = json_object_get(row, "sizes"), *bin;
	char octets[48];

	for (size_t i = 0; (bin = json_array_get(bins, i)); i++) {
		octets_text(bin, octets, sizeof(octets));
		for (size_t d = 0; d < RW_ARRAY_SIZE(directions); d++)
			metric_sample(o, json_object_get(bin, directions[d]), "port",
				text_of(row, "name"), "direction", directions[d], "octets", octets,
				METRIC_END);
	}
}

/* ---- VLANs: rows of vlans.show ---- */

/* Add `row` to what `sums` has for its labels: bridges that are gone have one name. */
static void vlan_add(json_t *sums, const json_t *row, const char *counter)
{
	const json_t *vlan = json_object_get(row, "vlan");
	char key[256], id[24] = "none", name[32];
	json_t *sum;

	if (json_is_integer(vlan))
		snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT, json_integer_value(vlan));
	snprintf(key, sizeof(key), "%s\n%s\n%s", text_of(row, "bridge"), text_of(row, "tpid"), id);
	sum = json_object_get(sums, key);
	if (!sum) {
		sum = json_pack("{s:O*, s:O*, s:s}", "bridge", json_object_get(row, "bridge"),
			"tpid", json_object_get(row, "tpid"), "vlan", id);
		json_object_set_new(sums, key, sum);
	}
	for (size_t d = 0; d < RW_ARRAY_SIZE(directions); d++) {
		json_int_t n;

		snprintf(name, sizeof(name), "%s_%s", directions[d], counter);
		n = json_integer_value(json_object_get(row, name)) +
			json_integer_value(json_object_get(sum, directions[d]));
		json_object_set_new(sum, directions[d], json_integer(n));
	}
}

void metric_emit_vlan_counts(struct metric_out *o, const json_t *reading)
{
	const json_t *rows = json_object_get(reading, "vlans"), *row;
	json_t *sums = json_object(), *sum;
	const char *key;

	for (size_t i = 0; (row = json_array_get(rows, i)); i++)
		vlan_add(sums, row, o->family->key);
	json_object_foreach(sums, key, sum)
	{
		for (size_t d = 0; d < RW_ARRAY_SIZE(directions); d++)
			metric_sample(o, json_object_get(sum, directions[d]), "bridge",
				text_of(sum, "bridge"), "tpid", text_of(sum, "tpid"), "vlan",
				text_of(sum, "vlan"), "direction", directions[d], METRIC_END);
	}
	json_decref(sums);
}

/* ---- latency: rows of latency.show ---- */

static void bucket_emit(struct metric_out *o, const json_t *row, const char *le, json_int_t frames)
{
	json_t *n = json_integer(frames);

	o->suffix = "_bucket";
	metric_sample(
		o, n, "from", text_of(row, "from"), "to", text_of(row, "to"), "le", le, METRIC_END);
	json_decref(n);
}

/* What belongs to all buckets together. `value` is taken over. */
static void whole_emit(struct metric_out *o, const json_t *row, const char *suffix, json_t *value)
{
	o->suffix = suffix;
	metric_sample(o, value, "from", text_of(row, "from"), "to", text_of(row, "to"), METRIC_END);
	json_decref(value);
}

void metric_emit_latency(struct metric_out *o, const json_t *row)
{
	const json_t *bins = json_object_get(row, "histogram");
	double mean_ns = json_number_value(json_object_get(row, "mean_ns"));
	json_int_t frames = 0;
	size_t i = 0, n = json_array_size(bins);
	char le[32];

	for (unsigned k = BUCKET_FIRST; k <= BUCKET_LAST; k++) {
		json_int_t end_ns = (json_int_t)1 << k;

		for (; i < n; i++) {
			const json_t *bin = json_array_get(bins, i);

			if (json_integer_value(json_array_get(bin, 1)) >= end_ns)
				break;
			frames += json_integer_value(json_array_get(bin, 2));
		}
		snprintf(le, sizeof(le), "%.12g", (double)end_ns / 1e9);
		bucket_emit(o, row, le, frames);
	}
	for (; i < n; i++)
		frames += json_integer_value(json_array_get(json_array_get(bins, i), 2));
	bucket_emit(o, row, "+Inf", frames);
	whole_emit(o, row, "_sum", json_real(mean_ns * (double)frames / 1e9));
	whole_emit(o, row, "_count", json_integer(frames));
}
