/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "report.h"
#include "version.h"

/* The curve of latency ends at 99.999 %. */
#define NINES 5

static const char *const measures[] = {
	[BENCH_RATE] = "rate",
	[BENCH_SEARCH] = "search",
	[BENCH_CAPACITY] = "capacity",
	[BENCH_LEARNING] = "learning",
};

static json_t *sizes_json(const struct bench_options *o)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < o->nsizes; i++)
		json_array_append_new(list,
			json_pack("{s:I, s:I, s:I}", "bytes", (json_int_t)o->sizes[i].len,
				"bytes_with_fcs", (json_int_t)o->sizes[i].len + BENCH_FCS, "weight",
				(json_int_t)o->sizes[i].weight));
	return list;
}

/* The processor's name, or the machine's kind where it has none. */
static void cpu_name(char *name, size_t size, const char *otherwise)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[512], *value;

	snprintf(name, size, "%s", otherwise);
	while (file && fgets(line, sizeof(line), file)) {
		value = strchr(line, ':');
		if (value && !strncmp(line, "model name", 10)) {
			snprintf(name, size, "%s", value + 1 + strspn(value + 1, " "));
			name[strcspn(name, "\n")] = '\0';
			break;
		}
	}
	if (file)
		fclose(file);
}

static json_t *machine_json(void)
{
	struct utsname machine;
	char cpu[256];

	if (uname(&machine))
		return json_null();
	cpu_name(cpu, sizeof(cpu), machine.machine);
	return json_pack("{s:s, s:s, s:i}", "name", machine.nodename, "cpu", cpu, "cpus",
		(int)sysconf(_SC_NPROCESSORS_ONLN));
}

static json_t *date_json(void)
{
	time_t now = time(NULL);
	char text[32] = "";
	struct tm utc;

	if (gmtime_r(&now, &utc))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static json_t *setup_json(const struct bench_options *o)
{
	json_t *sockets = json_array();

	for (unsigned i = 0; i < o->nports; i++)
		json_array_append_new(sockets, json_string(o->sockets[i]));
	return json_pack(
		"{s:o, s:i, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:o, s:i, s:i, s:s, s:i}",
		"sockets", sockets, "idle", o->idle, "pairs", o->pairs, "ring_size", o->ring_size,
		"tx_ring_size", o->tx_ring_size, "packed", o->packed, "mergeable", o->mergeable,
		"in_order", o->in_order, "tso", o->tso, "convert", o->convert, "sizes",
		sizes_json(o), "macs", o->macs, "flows", o->flows, "pattern",
		options_pattern_name(o->pattern), "in_flight", o->in_flight);
}

static json_t *port_json(const struct bench_port_result *p)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "sent",
		(json_int_t)p->sent, "sent_bytes", (json_int_t)p->sent_bytes, "received",
		(json_int_t)p->received, "received_bytes", (json_int_t)p->received_bytes,
		"expected", (json_int_t)p->expected, "wrong", (json_int_t)p->wrong, "misplaced",
		(json_int_t)p->misplaced, "reordered", (json_int_t)p->reordered, "duplicated",
		(json_int_t)p->duplicated, "lowest_per_s", p->spread.lowest, "highest_per_s",
		p->spread.highest);
}

/* The curve of a plot: percentages are keys, in ten steps from one nine to the next. */
static json_t *percentiles_json(const struct rw_histogram *h)
{
	json_t *object = json_object();
	double rest = 100; /* percent of the frames that took longer */
	char key[32];

	for (int nine = 0; nine < NINES; nine++, rest /= 10) {
		for (int step = 0; step < 9; step++) {
			double percent = 100 - rest + rest * step / 10;

			snprintf(key, sizeof(key), "%.10g", percent);
			json_object_set_new(object, key,
				json_integer((json_int_t)rw_histogram_percentile(h, percent)));
		}
	}
	return object;
}

static json_t *latency_json(const struct rw_histogram *h)
{
	json_t *object;

	if (!h->count)
		return json_null();
	object = json_pack("{s:I, s:f, s:I, s:I}", "frames", (json_int_t)h->count, "mean",
		rw_histogram_mean(h), "min", (json_int_t)h->least, "max", (json_int_t)h->greatest);
#define X(p)                 \
	json_object_set_new( \
		object, "p" #p, json_integer((json_int_t)rw_histogram_percentile(h, p)));
	REPORT_PERCENTILES(X)
#undef X
	json_object_set_new(object, "percentiles", percentiles_json(h));
	return object;
}

/* A rate that was asked for; null: as many frames as possible. */
static json_t *rate_json(double rate)
{
	return rate > 0 ? json_real(rate) : json_null();
}

static json_t *trial_json(const struct bench_result *r)
{
	json_t *ports = json_array();

	for (unsigned i = 0; i < r->nports; i++)
		json_array_append_new(ports, port_json(&r->ports[i]));
	return json_pack("{s:f, s:f, s:f, s:o, s:f, s:b, s:I, s:f, s:f, s:o, s:o, s:o}", "seconds",
		r->seconds, "frames_per_s", report_rate(r), "bits_per_s", report_bits(r),
		"asked_per_s", rate_json(r->asked), "offered_per_s", r->offered, "fell_short",
		search_fell_short(r->asked, r->offered, r->seconds), "lost", (json_int_t)r->lost,
		"loss", search_loss(r), "own_cycles_per_frame", r->own_cycles, "latency_ns",
		latency_json(&r->latency), "sum", port_json(&r->sum), "ports", ports);
}

static json_t *search_json(const struct search_outcome *s)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < s->nsteps; i++) {
		const struct search_step *step = &s->steps[i];

		json_array_append_new(steps,
			json_pack("{s:o, s:f, s:f, s:f, s:f, s:b, s:b}", "asked_per_s",
				rate_json(step->asked), "offered_per_s", step->offered,
				"frames_per_s", step->received, "seconds", step->seconds, "loss",
				step->loss, "good", step->good, "fell_short", step->fell_short));
	}
	return json_pack("{s:f, s:b, s:b, s:i, s:o}", "frames_per_s", s->rate, "verified",
		s->verified, "load_limited", s->load_limited, "fell_short", s->fell_short, "steps",
		steps);
}

static json_t *hosts_json(const struct report *r)
{
	const struct hosts_outcome *s = r->hosts;
	json_t *steps = json_array();

	for (unsigned i = 0; i < s->nsteps; i++)
		json_array_append_new(steps,
			json_pack("{s:I, s:I, s:f}", "taught", (json_int_t)s->steps[i].taught,
				"known", (json_int_t)s->steps[i].known, "stations_per_s",
				s->steps[i].rate));
	if (r->opt->measure == BENCH_CAPACITY)
		return json_pack("{s:I, s:b, s:o}", "stations", (json_int_t)s->capacity, "at_least",
			s->at_least, "steps", steps);
	return json_pack("{s:f, s:b, s:o}", "stations_per_s", s->rate, "at_least", s->at_least,
		"steps", steps);
}

int report_json(const struct report *r, FILE *to)
{
	json_t *root = json_pack("{s:s, s:o, s:o, s:s, s:b, s:o}", "version", RINGWAY_VERSION,
		"date", date_json(), "machine", machine_json(), "measure",
		measures[r->opt->measure], "interrupted", r->interrupted, "setup",
		setup_json(r->opt));
	int ret = root ? 0 : -ENOMEM;

	if (!ret && r->trial)
		ret = json_object_set_new(root, "result", trial_json(r->trial));
	if (!ret && r->search)
		ret = json_object_set_new(root, "search", search_json(r->search));
	if (!ret && r->hosts)
		ret = json_object_set_new(root, measures[r->opt->measure], hosts_json(r));
	if (ret)
		ret = -ENOMEM;
	else if (json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) ||
		fputc('\n', to) == EOF)
		ret = -EIO;
	json_decref(root);
	return ret;
}
